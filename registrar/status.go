package registrar

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"sidekick/events"
)

// Registration is the state of one service for the user.
type Registration struct {
	Program string
	// Port is the container's port, as "8000/tcp".
	Port string
	// Key is the whole key, or "" while the address is not known. Where the
	// formats give several it is the first.
	Key string
	// Keys are all keys, where there are several.
	Keys []string
	// Address is ip:port as a client outside dials it, or "".
	Address string
	// Since is when the key was put, or zero while it does not exist.
	Since time.Time
	// Reason is "" while the key exists, else why not and what to do.
	Reason string
	// Pending: the key is on its way. The address is being looked up, or etcd is
	// being asked to take the key.
	Pending bool
	// Warning says what puts a key that exists in doubt, or "".
	Warning string
}

// Registrations returns one entry for each service of the programs, of all if
// none is named, in the order of the last Update.
func (r *Registrar) Registrations(programs ...string) []Registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	var list []Registration
	for _, f := range r.facts {
		if len(programs) == 0 || slices.Contains(programs, f.Program) {
			list = append(list, r.registration(f))
		}
	}
	return list
}

// Answers reports whether etcd answered the last call, be it with an error.
func (r *Registrar) Answers() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.answers
}

// registration is called with mu held.
func (r *Registrar) registration(f Fact) Registration {
	reg := Registration{Program: f.Program, Port: f.Port.String()}
	a, err := r.address(f.Service)
	if err == nil {
		reg.Address = a.String()
		for _, e := range r.layout.entries(f.Service, a) {
			reg.Keys = append(reg.Keys, e.key)
		}
		reg.Key = reg.Keys[0]
	}
	switch {
	case !f.Up:
		reg.Reason = f.Reason
	case err != nil:
		reg.Reason, reg.Pending = err.Error(), err == errLooking
	default:
		r.judge(&reg, f.Service)
	}
	if len(reg.Keys) == 1 {
		reg.Keys = nil
	}
	return reg
}

// judge says how it stands with the keys of a service that must have them: it
// is registered when all are there.
func (r *Registrar) judge(reg *Registration, name Service) {
	for _, key := range reg.Keys {
		h := r.keys[key]
		switch {
		case h != nil && h.service != name:
			reg.Reason = fmt.Sprintf("program %s registers the same key%s: give one of them another key", h.service.Program, reg.unlessFirst(key))
		case h != nil && h.rival.held && h.rival.lease == 0:
			reg.Reason = fmt.Sprintf("somebody wrote the key %s without a lease: delete it, and it is registered again", key)
		case h != nil && h.rival.held:
			reg.Reason = fmt.Sprintf("another registrar (lease %x) wrote the same key%s: give each container an address of its own", h.rival.lease, reg.unlessFirst(key))
		case h != nil && h.state == present && !r.expired():
			if h.since.After(reg.Since) {
				reg.Since = h.since
			}
			continue
		default:
			reg.Reason, reg.Pending = r.whyEtcd(), true
		}
		reg.Since = time.Time{}
		return
	}
	reg.Warning = r.doubt(name)
	if errors.Is(r.etcdErr, ErrNoAnswer) {
		reg.Warning = r.whyEtcd()
	}
}

// unlessFirst names a key that is not the one that is shown beside the reason.
func (reg *Registration) unlessFirst(key string) string {
	if key == reg.Key {
		return ""
	}
	return " " + key
}

// expired reports whether our lease may have run out while etcd was away.
func (r *Registrar) expired() bool {
	return r.etcdErr != nil && time.Since(r.renewed) > r.ttl
}

// doubt says why the address of a key may be an old one.
func (r *Registrar) doubt(s Service) string {
	if _, ok := s.fixed(); ok || r.lookup.err == nil {
		return ""
	}
	return "the address is as Docker last said: " + r.lookup.err.Error()
}

// whyEtcd says why a key that should exist does not.
func (r *Registrar) whyEtcd() string {
	switch {
	case r.etcdErr == nil:
		return "being registered"
	case errors.Is(r.etcdErr, ErrNoAnswer):
		return oneLine(r.etcdErr) + ": check registry.etcd.endpoints; it is tried again"
	case errors.Is(r.etcdErr, ErrNotAsked):
		return oneLine(r.etcdErr) + "; it is tried again"
	default:
		return "etcd refuses: " + oneLine(r.etcdErr)
	}
}

// oneLine shows the lines of an error, joined ones, each once.
func oneLine(err error) string {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		if !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}

// whyGone says why a key was deleted.
func (r *Registrar) whyGone(name Service) string {
	for _, f := range r.facts {
		if f.Service != name {
			continue
		}
		if !f.Up {
			return f.Reason
		}
		if a, err := r.address(name); err == nil {
			return "the address is " + a.String() + " now"
		} else {
			return err.Error()
		}
	}
	return "it is no longer in the configuration"
}

// report logs why a service that is up has no key, once for each reason, and
// tells onChange of every change.
func (r *Registrar) report() {
	for _, reg := range r.unreported() {
		if r.onChange != nil {
			r.onChange(reg)
		}
	}
}

// unreported returns what changed since the last call, and logs it.
func (r *Registrar) unreported() []Registration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.leaving {
		return nil
	}
	var changes []Registration
	for _, f := range r.facts {
		s, reg := r.services[f.Service], r.registration(f)
		if reflect.DeepEqual(reg, s.reported) {
			continue
		}
		if f.Up && class(reg.Reason) != class(s.reported.Reason) {
			r.logReason(reg)
		}
		if reg.Warning != "" && reg.Warning != s.reported.Warning {
			r.log.Warn("address not confirmed", "program", reg.Program, "key", reg.Key, "reason", reg.Warning)
			r.tell(events.Registered, events.Registered, reg.Program, reg.Key, reg.Warning)
		}
		s.reported = reg
		changes = append(changes, reg)
	}
	return changes
}

// class is what two reasons have in common that need not both be logged: of an
// etcd that is away every attempt may tell something else.
func class(reason string) string {
	if strings.HasPrefix(reason, ErrNoAnswer.Error()) {
		return ErrNoAnswer.Error()
	}
	return reason
}

// logReason logs a reason that will not pass by itself in a moment.
func (r *Registrar) logReason(reg Registration) {
	if reg.Reason != "" && reg.Reason != errLooking.Error() && reg.Reason != "being registered" {
		r.log.Warn("not registered", "program", reg.Program, "port", reg.Port, "reason", reg.Reason)
		r.tell(events.Unregistered, events.Unregistered, reg.Program, reg.Key, reg.Reason)
	}
}

// deregistered logs and tells that a key is gone.
func (r *Registrar) deregistered(level slog.Level, path string, h *holding, why string) {
	if !h.told {
		return // etcd refused it, or never answered: nobody heard of it
	}
	h.told = false
	r.log.Log(context.Background(), level, "deregistered", "program", h.service.Program, "key", path, "reason", why)
	r.tell(events.Registered, events.Unregistered, h.service.Program, path, why)
}

func (r *Registrar) tell(from, to, program, key, reason string) {
	r.event(events.Event{Type: events.Registration, Program: program, From: from, To: to, Key: key, Reason: reason})
}
