package convert

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

var errEmptyCommand = errors.New("the command is empty")

// What supervisord does where a program says nothing; write puts it into the
// mapping that every program is merged with.
const (
	defaultRetries  = 3
	defaultStart    = 1
	defaultStopWait = 10
	maxSeconds      = 365 * 24 * 3600 // of a duration in our file
)

// policy writes when the program is started, and started again.
func (b *builder) policy() {
	b.autostart()
	when, whenGiven := read(b.scope, "autorestart", restartUnexpected, autorestart)
	retries, start := b.number("startretries", defaultRetries), b.number("startsecs", defaultStart)
	codes, codesGiven := read(b.scope, "exitcodes", []int{0}, exitCodes)
	for _, o := range []*option{whenGiven, retries.given, start.given, codesGiven} {
		o.done()
	}
	if b.killer != nil && b.killer.exits {
		b.out.add("restart", `"no"`)
		b.out.add("success_exit_codes", "[]", "any end ends the container")
		b.minUptime(start)
		return
	}
	switch {
	case start.mark == "" && start.known <= 0:
		b.restartWithoutStart(when)
	case when == restartNever:
		b.out.add("restart", `"no"`)
		if retries.given != nil && (retries.mark != "" || retries.known > 0) {
			b.note(b.section, retries.given, "with autorestart=false sidekick starts it once: a quick end is not tried again")
		}
	default:
		b.restart(retries, start)
	}
	if when == restartNever && b.killer != nil && !b.killer.seesExits {
		b.essential(start)
	}
	b.exitCodes(when, codes, start)
	b.minUptime(start)
}

// essential is for programs that are not restarted, where the listener that ends
// supervisord is told of FATAL only: their failure is an EXITED, but for a quick one.
func (b *builder) essential(start number) {
	if start.mark == "" && start.known <= 0 {
		b.out.add("essential", "false", "with startsecs=0 it never becomes FATAL")
		return
	}
	b.out.comment("supervisord would end with it only if it fails within startsecs")
}

func (b *builder) autostart() {
	value, o := b.get("autostart")
	if o == nil {
		return
	}
	o.done()
	if hasMark(value) {
		b.sample(value, "true")
		b.out.add("autostart", scalar(b.names.text(value)), "true or false, not 1 or 0")
		return
	}
	on, err := boolean(value)
	if err != nil {
		b.problem(o.problem("%s", err))
	}
	if !on {
		b.out.add("autostart", "false")
	}
}

// restartWithoutStart is for startsecs=0: no start fails, so nothing is counted.
func (b *builder) restartWithoutStart(when restartWhen) {
	switch when {
	case restartNever:
		b.out.add("restart", `"no"`)
	case restartUnexpected:
		b.out.add("restart", "on-failure")
	case restartAlways:
		b.out.add("restart", "always")
	}
}

// restart is for programs that are started again: startretries counts ends
// within startsecs, as N of on-failure:N counts runs shorter than reset_after.
func (b *builder) restart(retries, start number) {
	switch n := retries.known; {
	case retries.mark != "":
		b.out.add("restart", scalar("on-failure:"+b.names.text(retries.mark)))
	case n < 1:
		b.out.add("restart", "on-failure:1")
		b.note(b.section, retries.given, "sidekick tries once more at least: on-failure:1")
	case n > math.MaxInt32:
		b.out.add("restart", "on-failure")
	case n != defaultRetries:
		b.out.add("restart", "on-failure:"+strconv.Itoa(n))
	}
	if retries.mark != "" || start.mark != "" || retries.known != defaultRetries || start.known != defaultStart {
		b.out.add("backoff", b.backoff(retries, start))
	}
}

// backoff comes near supervisord's delays of 1 s, 2 s, 3 s and so on; up to three
// retries it is equal.
func (b *builder) backoff(retries, start number) string {
	longest, factor := max(min(retries.known, 30), 1), "2"
	if retries.mark != "" {
		longest = 30
	}
	if longest > 3 {
		factor = "1.4"
	}
	return fmt.Sprintf("{initial: 1s, max: %ds, factor: %s, jitter: 0, reset_after: %s}", longest, factor, b.seconds(start, true))
}

func (b *builder) exitCodes(when restartWhen, codes []int, start number) {
	o := b.ini.option(b.section, "exitcodes")
	switch {
	case when == restartAlways && (start.mark != "" || start.known > 0):
		b.out.add("success_exit_codes", "[]", "autorestart=true")
	case when == restartAlways:
	case len(codes) == 1 && codes[0] == 0:
	default:
		words := make([]string, len(codes))
		for i, code := range codes {
			words[i] = strconv.Itoa(code)
		}
		b.out.add("success_exit_codes", "["+strings.Join(words, ", ")+"]")
		return
	}
	if o != nil && when == restartAlways && o.fate == inOutput {
		o.fate = meaningless
	}
}

func (b *builder) minUptime(start number) {
	if start.mark != "" || max(start.known, 0) != defaultStart {
		b.out.add("min_uptime", b.seconds(start, false))
	}
}

// seconds writes a duration.
func (b *builder) seconds(n number, flow bool) string {
	if n.mark != "" {
		text := b.names.text(n.mark) + "s"
		if flow {
			return flowScalar(text)
		}
		return scalar(text)
	}
	if n.known > maxSeconds {
		b.note(b.section, n.given, "sidekick counts to a year")
	}
	return strconv.Itoa(min(max(n.known, 0), maxSeconds)) + "s"
}

// stop writes how the program is told to end.
func (b *builder) stop() {
	sig, o := b.get("stopsignal")
	switch {
	case o == nil:
	case hasMark(sig):
		o.done()
		b.sample(sig, "1")
		b.out.add("stop_signal", scalar(b.names.text(sig)))
	default:
		o.done()
		b.stopSignal(o, sig)
	}
	b.out.grace = b.number("stopwaitsecs", defaultStopWait)
	b.out.grace.given.done()
	if b.out.grace.mark != "" || b.out.grace.known != defaultStopWait {
		b.out.add("stop_grace_period", b.seconds(b.out.grace, false))
	}
	b.killMode()
}

func (b *builder) stopSignal(o *option, value string) {
	sig, err := stopSignal(value)
	if err != nil {
		b.problem(o.problem("%s", err))
		return
	}
	name := unix.SignalName(sig)
	if name == "" {
		name = strconv.Itoa(int(sig))
	}
	if sig != unix.SIGTERM {
		b.out.add("stop_signal", name)
	}
}

func (b *builder) killMode() {
	stopGroup, stopGiven := read(b.scope, "stopasgroup", false, boolean)
	killGroup, killGiven := read(b.scope, "killasgroup", stopGroup, boolean)
	stopGiven.done()
	if stopGroup == killGroup {
		killGiven.nothing()
	} else {
		killGiven.done()
	}
	switch {
	case stopGroup && !killGroup:
		b.problem(killGiven.problem("supervisord does not take stopasgroup=true with killasgroup=false"))
	case stopGroup:
		b.out.add("kill_mode", "group")
	case killGroup:
		b.out.add("kill_mode", "mixed", "killasgroup; what the program leaves behind is asked to stop, too")
	}
}
