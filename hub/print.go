package hub

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"text/tabwriter"
	"time"

	"golang.org/x/sys/unix"
)

// clock is a time of day to the millisecond, as change lines show it.
const clock = "15:04:05.000"

// Paint colours text for terminals; the zero value leaves it as it is.
type Paint struct{ on bool }

// PaintFor paints if f is a terminal that knows colours and NO_COLOR
// (no-color.org) is not set.
func PaintFor(f *os.File, lookup func(string) (string, bool)) Paint {
	if v, _ := lookup("NO_COLOR"); v != "" {
		return Paint{}
	}
	if v, _ := lookup("TERM"); v == "dumb" {
		return Paint{}
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return Paint{on: err == nil}
}

func (p Paint) with(code, s string) string {
	if !p.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

// Bold is for headings.
func (p Paint) Bold(s string) string { return p.with("1", s) }

// Dim is for what matters less.
func (p Paint) Dim(s string) string { return p.with("2", s) }

// Red is for what went away or failed.
func (p Paint) Red(s string) string { return p.with("31", s) }

// Green is for what appeared or worked.
func (p Paint) Green(s string) string { return p.with("32", s) }

// Yellow is for what changed or needs care.
func (p Paint) Yellow(s string) string { return p.with("33", s) }

// Cyan is for names.
func (p Paint) Cyan(s string) string { return p.with("36", s) }

// WriteTable writes services as a table for people.
func WriteTable(w io.Writer, services []Service) error {
	if len(services) == 0 {
		_, err := fmt.Fprintln(w, "no services")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "SERVICE\tADDRESS\tVALUE\tTTL\tSINCE REVISION") // Flush reports its error
	for _, s := range services {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\n", s.Directory, s.Address, oneLine(s.Value), ttlText(s), s.CreateRevision)
	}
	return t.Flush()
}

// ttlText is "17s of 20s", or says that nothing ends the key by itself.
func ttlText(s Service) string {
	switch {
	case s.Lease == 0:
		return "no lease"
	case s.TTL < 0:
		return "ended"
	}
	return fmt.Sprintf("%s of %s", s.TTL, s.Granted)
}

// oneLine keeps a value from breaking the table.
func oneLine(value string) string {
	const limit = 60
	quoted := strconv.Quote(value)
	if quoted == `"`+value+`"` {
		quoted = value
	}
	if r := []rune(quoted); len(r) > limit {
		return string(r[:limit-1]) + "…"
	}
	return quoted
}

// ChangeLine is one change for people: time of day, sign, key and value.
func ChangeLine(c Change, p Paint) string {
	sign := map[Kind]string{Added: p.Green("+"), Changed: p.Yellow("~"), Removed: p.Red("-")}[c.Kind]
	line := p.Dim(c.Time.Format(clock)) + " " + sign + " " + c.Service.Key
	if c.Kind == Removed {
		return line
	}
	return line + " " + oneLine(c.Service.Value)
}

// record is a service in JSON; Time and Change are there while watching.
type record struct {
	Time           string `json:"time,omitempty"`
	Change         string `json:"change,omitempty"`
	Key            string `json:"key"`
	Service        string `json:"service"`
	Address        string `json:"address"`
	Value          string `json:"value"`
	Lease          string `json:"lease,omitempty"` // hexadecimal, as etcdctl shows it
	TTLSeconds     *int64 `json:"ttl_seconds,omitempty"`
	GrantedSeconds *int64 `json:"granted_ttl_seconds,omitempty"`
	CreateRevision int64  `json:"create_revision"`
	ModRevision    int64  `json:"mod_revision"`
}

func toRecord(s Service) record {
	r := record{
		Key: s.Key, Service: s.Directory, Address: s.Address, Value: s.Value,
		CreateRevision: s.CreateRevision, ModRevision: s.ModRevision,
	}
	if s.Lease != 0 {
		r.Lease = strconv.FormatInt(s.Lease, 16)
	}
	if s.Lease != 0 && s.TTL >= 0 {
		r.TTLSeconds, r.GrantedSeconds = new(int64(s.TTL/time.Second)), new(int64(s.Granted/time.Second))
	}
	return r
}

// WriteJSON writes services as one JSON array.
func WriteJSON(w io.Writer, services []Service) error {
	records := make([]record, 0, len(services))
	for _, s := range services {
		records = append(records, toRecord(s))
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(records)
}

// WriteJSONLine writes one change as one line. Listings go the same way, as
// changes of kind "present".
func WriteJSONLine(w io.Writer, c Change) error {
	r := toRecord(c.Service)
	r.Time = c.Time.Format(time.RFC3339Nano)
	r.Change = string(c.Kind)
	return json.NewEncoder(w).Encode(r)
}
