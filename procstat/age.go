package procstat

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// tick is the unit of the times in /proc/PID/stat. USER_HZ is 100 on every
// architecture that Go supports (time(7)).
const tick = time.Second / 100

// age returns how long ago a process started. gopsutil's CreateTime rounds to
// seconds, which makes nonsense of the CPU share of a young process, and counts
// from a boot time that is wrong after the clock was set and under lxcfs. The
// kernel counts from the boot, and so does CLOCK_BOOTTIME.
func age(pid int32) (time.Duration, error) {
	stat, err := readStat(pid)
	if err != nil {
		return 0, err
	}
	started, err := startTime(stat)
	if err != nil {
		return 0, fmt.Errorf("cannot read /proc/%d/stat: %w", pid, err)
	}
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &now); err != nil {
		return 0, err
	}
	return time.Duration(now.Nano()) - started, nil
}

func readStat(pid int32) ([]byte, error) { return os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)) }

// startTime takes the time between boot and start out of a /proc/PID/stat.
func startTime(stat []byte) (time.Duration, error) { return statTime(stat, 22) }

// times are the processor times of a process: its own, and of the descendants
// that it has waited for.
type times struct{ own, waited time.Duration }

func readTimes(pid int32) (times, error) {
	stat, err := readStat(pid)
	if err != nil {
		return times{}, err
	}
	var t times
	for field, sum := range map[int]*time.Duration{14: &t.own, 15: &t.own, 16: &t.waited, 17: &t.waited} {
		one, err := statTime(stat, field)
		if err != nil {
			return times{}, err
		}
		*sum += one
	}
	return t, nil
}

// statTime takes a time out of a /proc/PID/stat by the number that its field has
// in proc_pid_stat(5). Field 2 is the name in parentheses, which may hold blanks
// and parentheses itself, so counting begins behind its last one, at field 3.
func statTime(stat []byte, field int) (time.Duration, error) {
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) <= field-3 {
		return 0, errors.New("too few fields")
	}
	ticks, err := strconv.ParseInt(string(fields[field-3]), 10, 64)
	if err != nil {
		return 0, err
	}
	if ticks < 0 || ticks > int64(1<<63-1)/int64(tick) {
		return 0, fmt.Errorf("time %d is out of range", ticks)
	}
	return time.Duration(ticks) * tick, nil
}
