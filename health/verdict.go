package health

import (
	"time"

	"sidekick/config"
)

// verdict is what is known about one target. It is a plain value: whoever
// holds it owns it.
type verdict struct {
	check     config.Check
	since     time.Time // start of the target
	status    Status
	succeeded bool // there was a first success of this probe
	failures  int  // in a row, of those that count
	output    string
}

func newVerdict(check config.Check, since time.Time) verdict {
	return verdict{check: check, since: since, status: Starting}
}

// observe takes one answer in, of a probe that began at began, and says
// whether it is news: a new status, the first success of a probe, or another
// reason for not being healthy.
func (v *verdict) observe(began time.Time, output string, ok bool) (news bool) {
	before := *v
	v.output = output
	if ok {
		v.succeeded, v.failures, v.status = true, 0, Healthy
	} else {
		v.fail(began)
	}
	return v.status != before.status || v.succeeded != before.succeeded || v.status != Healthy && v.output != before.output
}

// fail counts a failure, unless it began too early. As in Docker the begin of
// the probe decides, so that a slow start is not held against a program by a
// probe that ended just after the period.
func (v *verdict) fail(began time.Time) {
	if began.Sub(v.since) < v.patience() {
		return
	}
	v.failures++
	if v.failures >= v.check.Retries {
		v.status = Unhealthy
	}
}

// patience is how long after the start failures do not count. A program that
// has never answered has at least one interval, however short its start period.
func (v *verdict) patience() time.Duration {
	if v.succeeded {
		return v.check.StartPeriod
	}
	return max(v.check.StartPeriod, v.check.Interval)
}

// wait is the time from the end of one probe to the begin of the next.
func (v *verdict) wait() time.Duration {
	if v.succeeded {
		return v.check.Interval
	}
	return v.check.StartInterval
}

// retuned is the same target under a changed check. The status stands until
// the new check says otherwise, so that a reload which only changes an interval
// takes no key out of etcd. Another probe has its first success before it.
func (v verdict) retuned(check config.Check) verdict {
	v.succeeded = v.succeeded && check.SameProbe(v.check)
	v.check, v.failures = check, 0
	return v
}
