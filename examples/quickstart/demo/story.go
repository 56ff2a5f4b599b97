package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// killEvery is the time between two crashes.
	killEvery = 6 * time.Second
	// firstRun is how long a process of web lives before it is killed: more
	// than the `reset_after` of its backoff, so the restart is immediate.
	firstRun = 1500 * time.Millisecond
)

// readyLine is how the hub says where its etcd is.
var readyLine = regexp.MustCompile(`^etcd is ready at (http://\S+?),?$`)

// webStopped is the line of web that it was told to stop.
var webStopped = regexp.MustCompile(`^web\s*\| told to stop`)

// acts tells everything but the end.
func (d *director) acts() error {
	if err := d.startHub(); err != nil {
		return err
	}
	web, err := d.opening()
	if err != nil {
		return err
	}
	for next := web.starting.at.Add(firstRun); ; {
		if err := d.pause(next); err != nil {
			return err
		}
		next = time.Now().Add(killEvery)
		if web, err = d.crash(web); err != nil {
			return err
		}
		if d.length == 0 {
			d.hint()
			continue
		}
		if end := d.narrator.began.Add(d.length); next.Add(stepMargin).After(end) {
			return d.pause(end)
		}
	}
}

// hint says once what comes now.
func (d *director) hint() {
	if len(d.downs) == 1 {
		d.narrator.chapter(fmt.Sprintf("It is killed again every %.0f s. Ctrl-C ends the demo.", killEvery.Seconds()))
	}
}

// stepMargin keeps a crash from being begun just before the end.
const stepMargin = 2 * time.Second

// startHub starts the etcd and watches it.
func (d *director) startHub() (err error) {
	d.narrator.chapter("An etcd for this machine: sidekick-hub serve")
	if d.hub, err = d.start(hubName, nil, "serve", "--listen-client-urls", "http://127.0.0.1:0"); err != nil {
		return err
	}
	ready, err := d.await(0, step{what: "sidekick-hub says that its etcd is ready", match: func(e event) bool {
		return e.kind == outputLine && readyLine.MatchString(e.text)
	}})
	if err != nil {
		return err
	}
	d.endpoint = readyLine.FindStringSubmatch(ready.text)[1]
	d.narrator.line(ready.at, "hub", "etcd is ready at "+d.endpoint)
	return d.watch()
}

// opening starts the programs and returns how web came up.
func (d *director) opening() (arrival, error) {
	d.narrator.chapter("Two programs: sidekick run -c examples/quickstart/sidekick.yaml")
	env, err := d.environment()
	if err != nil {
		return arrival{}, err
	}
	from := len(d.history)
	d.sidekick, err = d.start(sidekickName, env, "run", "-c", "examples/quickstart/sidekick.yaml", "--log-format", "json")
	if err != nil {
		return arrival{}, err
	}
	if _, err := d.await(from, step{what: "store is healthy", match: healthy("store")}); err != nil {
		return arrival{}, err
	}
	up, err := d.comesUp(from)
	if err != nil {
		return arrival{}, err
	}
	d.key = up.key.key
	d.narrator.fact(fmt.Sprintf("%s appeared %s after the start of web, %s after its first healthy answer",
		d.key, ms(up.key.at.Sub(up.starting.at)), ms(up.key.at.Sub(up.healthy.at))))
	return up, d.visit()
}

// environment fills the variables of examples/quickstart/sidekick.yaml in.
func (d *director) environment() ([]string, error) {
	env := []string{
		"APP=" + filepath.Join(d.bin, "quickstart-app"),
		"ETCD=" + d.endpoint,
		"IP=127.0.0.1",
		"SIDEKICK_SOCKET=" + filepath.Join(d.temp, "sidekick.sock"),
	}
	var held []net.Listener // until both are chosen, so that they differ
	for _, name := range []string{"WEB_PORT", "STORE_PORT"} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("cannot find a free port: %w", err)
		}
		held = append(held, l)
		env = append(env, name+"="+strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	for _, l := range held {
		l.Close()
	}
	return env, nil
}

// arrival is what has to happen for web to be found by its clients.
type arrival struct {
	starting, running, healthy, key event
}

// comesUp waits for web to be started, for its first healthy answer and its key.
func (d *director) comesUp(from int) (a arrival, err error) {
	steps := []struct {
		into *event
		step
	}{
		{&a.starting, step{what: "web is started", match: enters("web", "STARTING")}},
		{&a.running, step{what: "web runs", match: enters("web", "RUNNING")}},
		{&a.healthy, step{what: "web is healthy", match: healthy("web")}},
		{&a.key, step{what: "the key of web appears", match: func(e event) bool {
			return e.kind == keyAppeared && (d.key == "" || e.key == d.key)
		}}},
	}
	for _, s := range steps {
		if *s.into, err = d.await(from, s.step); err != nil {
			return a, err
		}
	}
	return a, nil
}

// crash kills web's process and waits until clients find web again.
func (d *director) crash(old arrival) (arrival, error) {
	pid := old.running.pid
	d.narrator.chapter(fmt.Sprintf("The process of web is killed: kill -9 %d", pid))
	from := len(d.history)
	killed := time.Now()
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return old, fmt.Errorf("cannot kill process %d of web: %w", pid, err)
	}
	d.narrator.line(killed, "demo", d.narrator.paint.Red(fmt.Sprintf("kill -9 %d", pid)))
	gone, err := d.await(from, step{what: "the key vanishes after the kill", match: d.vanished})
	if err != nil {
		return old, err
	}
	up, err := d.comesUp(from)
	if err != nil {
		return old, err
	}
	if up.running.pid == old.running.pid {
		return old, errors.New(`step "web is restarted" did not happen: its process is the old one`)
	}
	d.downs, d.ups = append(d.downs, gone.at.Sub(killed)), append(d.ups, up.key.at.Sub(killed))
	d.narrator.fact("the key vanished " + ms(gone.at.Sub(killed)) + " after the kill")
	d.narrator.fact(fmt.Sprintf("web was started again after %s, healthy after %s, its key back after %s",
		ms(up.starting.at.Sub(killed)), ms(up.healthy.at.Sub(killed)), ms(up.key.at.Sub(killed))))
	return up, d.visit()
}

// visit dials the address that the key names, as any client would.
func (d *director) visit() error {
	address := path.Base(d.key)
	ctx, cancel := context.WithTimeout(context.Background(), stepTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/", nil)
	if err != nil {
		return fmt.Errorf("cannot visit the address in the key: %w", err)
	}
	asked := time.Now()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("step %q did not happen: %w", "web answers at the address in its key", err)
	}
	defer resp.Body.Close()
	body, _ := io.ReadAll(io.LimitReader(resp.Body, 1000)) // only shown
	took := time.Since(asked)
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("step %q did not happen: it said %s", "web answers at the address in its key", resp.Status)
	}
	d.narrator.fact(fmt.Sprintf("GET http://%s/ was answered in %s: %s", address, ms(took), strings.TrimSpace(string(body))))
	return nil
}

// goodbye ends sidekick in order, then the hub.
func (d *director) goodbye() error {
	d.narrator.chapter("The end: SIGTERM to sidekick")
	registered := d.isRegistered()
	from := len(d.history)
	told := time.Now()
	if err := d.sidekick.signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("cannot stop sidekick: %w", err)
	}
	if registered {
		if err := d.farewell(from, told); err != nil {
			return err
		}
	}
	if err := d.ends(from, sidekickName, told); err != nil {
		return err
	}
	from = len(d.history)
	if d.stopWatch(); d.hub.signal(syscall.SIGTERM) != nil {
		return errors.New("cannot stop sidekick-hub: it has ended")
	}
	if err := d.ends(from, hubName, time.Now()); err != nil {
		return err
	}
	d.summary()
	return nil
}

// farewell waits for the key to go, and checks that web was told to stop after
// that and not before.
func (d *director) farewell(from int, told time.Time) error {
	gone, err := d.await(from, step{what: "the key vanishes before the end", match: d.vanished})
	if err != nil {
		return err
	}
	stopped, err := d.await(from, step{what: "web says that it was told to stop", ends: sidekickName, match: func(e event) bool {
		return e.kind == outputLine && webStopped.MatchString(e.text)
	}})
	if err != nil {
		return err
	}
	if stopped.at.Before(gone.at) {
		return errors.New(`step "the key is gone before web is told to stop" did not happen: it was told first`)
	}
	d.narrator.fact(fmt.Sprintf("the key vanished %s after SIGTERM; web was told to stop %s later, when nobody was sent to it any more",
		ms(gone.at.Sub(told)), ms(stopped.at.Sub(gone.at))))
	return nil
}

// ends waits for the end of a process of ours, which has to be a good one.
func (d *director) ends(from int, name string, told time.Time) error {
	e, err := d.await(from, step{what: name + " ends", ends: name, match: func(e event) bool {
		return e.kind == processEnded && e.process == name
	}})
	if err != nil {
		return err
	}
	if e.failed && (name != sidekickName || d.sawPrograms()) {
		return fmt.Errorf("step %q did not happen: %s", name+" ends well", e.text)
	}
	d.narrator.fact(fmt.Sprintf("%s ended %s after SIGTERM", name, ms(e.at.Sub(told))))
	return nil
}

// summary is the story in two lines.
func (d *director) summary() {
	if len(d.downs) == 0 {
		return
	}
	times := "once"
	if n := len(d.downs); n > 1 {
		times = fmt.Sprint(n, " times")
	}
	d.narrator.chapter("web was killed " + times)
	d.narrator.fact("its key vanished after " + spread(d.downs))
	d.narrator.fact("and was back after " + spread(d.ups))
}

// spread is the least, the middle and the most of some durations.
func spread(all []time.Duration) string {
	all = slices.Sorted(slices.Values(all))
	if len(all) == 1 {
		return ms(all[0])
	}
	return fmt.Sprintf("%s to %s, in the middle %s", ms(all[0]), ms(all[len(all)-1]), ms(all[len(all)/2]))
}

// sawPrograms says whether sidekick had begun to work. Before that no Go program
// has its signal handlers in place, and SIGTERM ends it with no programs to stop.
func (d *director) sawPrograms() bool {
	return slices.ContainsFunc(d.history, is(programState))
}

// isRegistered says whether etcd has web's key, by the events so far.
func (d *director) isRegistered() bool {
	there := false
	for _, e := range d.history {
		if e.kind == keyAppeared || e.kind == keyVanished {
			there = e.kind == keyAppeared
		}
	}
	return there
}

// vanished matches the end of web's key.
func (d *director) vanished(e event) bool {
	return e.kind == keyVanished && (d.key == "" || e.key == d.key)
}

// healthy matches a program's first good answer.
func healthy(program string) func(event) bool {
	return func(e event) bool {
		return e.kind == programHealth && e.program == program && e.to == "healthy"
	}
}

// enters matches a change of a program to a state.
func enters(program, state string) func(event) bool {
	return func(e event) bool {
		return e.kind == programState && e.program == program && e.to == state
	}
}
