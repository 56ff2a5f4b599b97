package main

import (
	"context"
	"fmt"
	"os"
	"sync"
	"time"

	"sidekick/hub"
)

const (
	// stepTimeout is the deadline of each step of the story.
	stepTimeout = 15 * time.Second
	// endTimeout is how long a process has after each signal at the end.
	endTimeout = 4 * time.Second

	hubName      = "sidekick-hub"
	sidekickName = "sidekick"
)

// director runs the story. Its fields belong to the main goroutine; the others
// only send events.
type director struct {
	narrator *narrator
	signals  <-chan os.Signal
	length   time.Duration // 0: until interrupted

	bin, temp     string // directories: of the binaries, of the control socket
	hub, sidekick *process
	stopWatch     context.CancelFunc
	endpoint      string // of etcd
	key           string // web's
	downs, ups    []time.Duration

	events  chan event
	history []event
	wg      sync.WaitGroup // of everything that sends events
}

// step is what the story waits for.
type step struct {
	what  string // "the key appears"
	match func(event) bool
	// ends names the process whose end is expected meanwhile.
	ends string
}

// await returns the first event of the history from index from on that
// matches, waiting for it if need be. Events of different sources overtake
// each other, so a step never relies on the order in which they came.
func (d *director) await(from int, s step) (event, error) {
	for _, e := range d.history[from:] {
		if s.match(e) {
			return e, nil
		}
	}
	deadline := time.NewTimer(stepTimeout)
	defer deadline.Stop()
	for {
		select {
		case e := <-d.events:
			d.record(e)
			if s.match(e) {
				return e, nil
			}
			if e.kind == processEnded && e.process != s.ends {
				return e, fmt.Errorf("step %q did not happen: %s ended (%s)", s.what, e.process, e.text)
			}
		case <-d.signals:
			return event{}, errInterrupted
		case <-deadline.C:
			return event{}, fmt.Errorf("step %q did not happen within %s", s.what, stepTimeout)
		}
	}
}

// record keeps an event and tells it.
func (d *director) record(e event) {
	d.history = append(d.history, e)
	d.narrator.event(e)
}

// pause lets things happen until a moment, or until the demo is interrupted
// or loses a process.
func (d *director) pause(until time.Time) error {
	timer := time.NewTimer(time.Until(until))
	defer timer.Stop()
	for {
		select {
		case e := <-d.events:
			d.record(e)
			if e.kind == processEnded {
				return fmt.Errorf("step %q did not happen: %s ended (%s)", "everything keeps running", e.process, e.text)
			}
		case <-d.signals:
			return errInterrupted
		case <-timer.C:
			return nil
		}
	}
}

// pumpUntil takes events until done is closed, and reports whether that came
// within limit.
func (d *director) pumpUntil(done <-chan struct{}, limit time.Duration) bool {
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-done:
			return true
		case e := <-d.events:
			d.record(e)
		case <-timer.C:
			return false
		}
	}
}

// drain takes events until all senders have ended.
func (d *director) drain() {
	ended := make(chan struct{})
	go func() { d.wg.Wait(); close(ended) }() // ends with the senders
	if !d.pumpUntil(ended, stepTimeout) {
		d.narrator.warn("something still holds an output open")
	}
}

// watch follows etcd itself, independently of what sidekick says.
func (d *director) watch() error {
	client, err := hub.Dial([]string{d.endpoint})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	d.stopWatch = stop
	d.wg.Go(func() { // ends with stop
		defer client.Close()
		_ = hub.Watch(ctx, client, hub.Observer{
			Listed:  func([]hub.Service) { d.events <- event{at: time.Now(), kind: keysListed} },
			Changed: func(c hub.Change) { d.changed(c) },
			Trouble: func(err error) {
				text := "answers again"
				if err != nil {
					text = err.Error()
				}
				d.events <- event{at: time.Now(), kind: etcdTrouble, text: text}
			},
		})
	})
	_, err = d.await(0, step{what: "etcd lists its keys", match: is(keysListed)})
	return err
}

// changed passes a change of a key on.
func (d *director) changed(c hub.Change) {
	switch c.Kind {
	case hub.Added:
		d.events <- event{at: c.Time, kind: keyAppeared, key: c.Service.Key}
	case hub.Removed:
		d.events <- event{at: c.Time, kind: keyVanished, key: c.Service.Key}
	}
}

// is matches events of one kind.
func is(k kind) func(event) bool {
	return func(e event) bool { return e.kind == k }
}
