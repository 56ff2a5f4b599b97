package events

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func names(all []Event) (names []string) {
	for _, e := range all {
		names = append(names, e.Program)
	}
	return names
}

func TestSince(t *testing.T) {
	j := NewJournal()
	if all, lost, _ := j.Since(0); len(all) != 0 || lost != 0 {
		t.Errorf("an empty journal has %v, %d lost", all, lost)
	}
	for i := range 3 {
		j.Append(Event{Type: Health, Program: fmt.Sprint(i)})
	}
	all, _, _ := j.Since(0)
	if !slices.Equal(names(all), []string{"0", "1", "2"}) || all[1].ID != all[0].ID+1 || all[0].Time.IsZero() {
		t.Fatalf("got %+v", all)
	}
	for id, want := range map[uint64]int{
		all[0].ID: 2, all[2].ID: 0, // after one that is kept
		all[0].ID - 1: 3, // before the first
		1:             3, // of an earlier life
		1 << 63:       3, // of a life whose clock was ahead
	} {
		if got, lost, _ := j.Since(id); len(got) != want || lost != 0 {
			t.Errorf("after %d: %d events, %d lost, want %d", id, len(got), lost, want)
		}
	}
}

func TestNewer(t *testing.T) {
	j := NewJournal()
	_, _, newer := j.Since(0)
	select {
	case <-newer:
		t.Fatal("nothing has happened")
	default:
	}
	j.Append(Event{})
	<-newer
}

func TestBounds(t *testing.T) {
	j := NewJournal()
	j.Append(Event{Type: State, Program: "old"})
	first, _, _ := j.Since(0)
	for range 2 * capacity {
		j.Append(Event{Type: State, Program: "web", Reason: strings.Repeat("x", 2*maxReason)})
	}
	all, lost, _ := j.Since(first[0].ID)
	if len(all) != capacity || lost != capacity {
		t.Errorf("%d events, %d lost, want %d of each", len(all), lost, capacity)
	}
	if len(all[0].Reason) > maxReason+len("…") {
		t.Errorf("a reason of %d bytes is kept", len(all[0].Reason))
	}
	if n := len(j.History("web")); n != history {
		t.Errorf("the history has %d events, want %d", n, history)
	}
	if n := len(j.History("old")); n != 1 {
		t.Errorf("a quiet program's history has %d events: a busy one took its place", n)
	}
	j.Retain([]string{"web"})
	if len(j.History("old")) != 0 || len(j.History("web")) == 0 {
		t.Error("Retain keeps the wrong ones")
	}
}

// Only changes of state make the history.
func TestHistory(t *testing.T) {
	j := NewJournal()
	j.Append(Event{Type: State, Program: "web", To: "STARTING"})
	j.Append(Event{Type: Health, Program: "web", To: "healthy"})
	j.Append(Event{Type: State, Program: "web", To: "RUNNING"})
	if h := j.History("web"); len(h) != 2 || h[1].To != "RUNNING" {
		t.Errorf("got %+v", h)
	}
}

func TestNilJournal(*testing.T) {
	var j *Journal
	j.Append(Event{})
}
