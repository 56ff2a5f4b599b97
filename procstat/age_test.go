package procstat

import (
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestStartTime(t *testing.T) {
	const tail = " S 1 42 42 0 -1 4194560 101 0 0 0 7 9 0 0 20 0 3 0 123456 12345678 321 18446744073709551615 1 1\n"
	for _, tc := range []struct {
		name, stat string
		want       time.Duration // -1: an error
	}{
		{"plain", "42 (web)" + tail, 1234560 * time.Millisecond},
		{"a name like a trap", "42 (a) S 1 (b c)" + tail, 1234560 * time.Millisecond},
		{"a name with a newline", "42 (a\nb)" + tail, 1234560 * time.Millisecond},
		{"empty, as of a process that is going", "", -1},
		{"cut off", "42 (web) S 1 42", -1},
		{"no number", "42 (web) S 1 42 42 0 -1 4194560 101 0 0 0 7 9 0 0 20 0 3 0 soon 1", -1},
		{"negative", "42 (web) S 1 42 42 0 -1 4194560 101 0 0 0 7 9 0 0 20 0 3 0 -5 1", -1},
		{"too large", "42 (web) S 1 42 42 0 -1 4194560 101 0 0 0 7 9 0 0 20 0 3 0 9223372036854775807 1", -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := startTime([]byte(tc.stat))
			if tc.want < 0 && err == nil || tc.want >= 0 && (err != nil || got != tc.want) {
				t.Errorf("%v, %v; want %v", got, err, tc.want)
			}
		})
	}
}

func TestTimes(t *testing.T) {
	pid := int32(os.Getpid())
	before, err := readTimes(pid)
	if err != nil {
		t.Fatal(err)
	}
	waited := func() time.Duration {
		// A shell that is waited for, and has waited for another.
		if err := exec.Command("sh", "-c", "sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done'; exit 0").Run(); err != nil {
			t.Fatal(err)
		}
		now, err := readTimes(pid)
		if err != nil || now.own < before.own {
			t.Fatal(before, now, err)
		}
		return now.waited - before.waited
	}
	for limit := time.Now().Add(30 * time.Second); waited() < 2*tick; {
		if time.Now().After(limit) {
			t.Fatal("what children used is not seen")
		}
	}
	if _, err := readTimes(-1); err == nil {
		t.Error("a process that cannot be has times")
	}
}

func FuzzStartTime(f *testing.F) {
	f.Add([]byte("42 (web) S 1 42 42 0 -1 4194560 101 0 0 0 7 9 0 0 20 0 3 0 123456 1"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, stat []byte) {
		if got, err := startTime(stat); err == nil && got < 0 {
			t.Errorf("%q started %v before the boot", stat, -got)
		}
	})
}
