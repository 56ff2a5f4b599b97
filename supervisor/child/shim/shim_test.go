package shim

import (
	"bytes"
	"go/parser"
	"go/token"
	"math"
	"path/filepath"
	"reflect"
	"strings"
	"syscall"
	"testing"
)

func full() Request {
	return Request{
		Path: "/bin/x", Dir: "/tmp", Args: []string{"x", "", "a b"}, Env: []string{"A=1", "B="},
		Setup: Setup{
			UID: new(uint32(1000)), GID: new(uint32(math.MaxUint32 - 1)), Groups: []uint32{1, 2},
			Rlimits: []Rlimit{{Resource: 7, Soft: 1, Hard: math.MaxUint64}},
			Umask:   new(uint32(0o27)), Nice: new(-5), OOMScoreAdj: new(-1000), NoNewPrivileges: true,
			Caps: &Caps{DropAll: true, Drop: []Cap{{Number: 40}}, Add: []Cap{{Number: 10}, {Number: 0}}},
		},
	}
}

func TestRequestCrossesTheWire(t *testing.T) {
	want := full()
	for name, r := range map[string]Request{"full": want, "bare": {Path: "/x"}} {
		data := r.Encode()
		got, ok := Decode(data)
		if !ok || !bytes.Equal(got.Encode(), data) {
			t.Errorf("%s: got %+v, %v", name, got, ok)
		}
		if name == "full" && !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		for cut := range data {
			if _, ok := Decode(data[:cut]); ok {
				t.Fatalf("%s: the first %d of %d bytes are accepted", name, cut, len(data))
			}
		}
		if _, ok := Decode(append(data, 0)); ok {
			t.Errorf("%s: a byte too many is accepted", name)
		}
	}
	if got, _ := Decode((&Request{}).Encode()); got.UID != nil || got.GID != nil || got.Umask != nil || got.Nice != nil ||
		got.OOMScoreAdj != nil || got.Caps != nil || got.NoNewPrivileges {
		t.Errorf("something came of nothing: %+v", got)
	}
}

func FuzzDecode(f *testing.F) {
	r := full()
	f.Add(r.Encode())
	f.Add([]byte{1, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		if r, ok := Decode(data); ok && !bytes.Equal(r.Encode(), data) {
			t.Errorf("%q is read as %+v", data, r)
		}
	})
}

func TestOutcome(t *testing.T) {
	failure := Failure{Step: RaiseCap, Detail: 40, Errno: uint32(syscall.EPERM)}
	report := failure.encode()
	said := string(report[:])
	began := string([]byte{byte(Executing)})
	for name, c := range map[string]struct {
		said     string
		executed bool
		failure  *Failure
	}{
		"silence":            {"", false, nil},
		"executed":           {began, true, nil},
		"a step failed":      {said, false, &failure},
		"exec failed":        {began + said, false, &failure},
		"killed at its word": {said[:4], false, nil},
		"killed after exec":  {began + said[:4], false, nil},
	} {
		executed, got := Outcome([]byte(c.said))
		if executed != c.executed || !reflect.DeepEqual(got, c.failure) {
			t.Errorf("%s: got %v, %+v", name, executed, got)
		}
	}
}

func TestPlan(t *testing.T) {
	const chown, bind, admin = 1 << 0, 1 << 10, 1 << 21
	caps := func(set uint64) (all []Cap) {
		for bit := range uint(64) {
			if set&(1<<bit) != 0 {
				all = append(all, Cap{Number: bit})
			}
		}
		return all
	}
	now := capSets{bounding: chown | bind, ambient: chown, inheritable: chown | bind, permitted: chown | bind}
	for name, c := range map[string]struct {
		caps    Caps
		root    bool
		want    capSets
		missing uint64
	}{
		"nothing changed, root": {Caps{}, true, capSets{chown | bind, chown, chown | bind, chown | bind}, 0},
		"nothing changed, user": {Caps{}, false, capSets{chown | bind, chown, chown | bind, chown}, 0},
		"dropped from all sets": {Caps{Drop: caps(chown)}, true, capSets{bind, 0, bind, bind}, 0},
		"all dropped":           {Caps{DropAll: true}, false, capSets{}, 0},
		"all but one, root":     {Caps{DropAll: true, Add: caps(bind)}, true, capSets{bind, 0, 0, bind}, 0},
		"all but one, user":     {Caps{DropAll: true, Add: caps(bind)}, false, capSets{bind, bind, bind, bind}, 0},
		"dropped, then added":   {Caps{Drop: caps(bind), Add: caps(bind)}, false, capSets{chown | bind, chown | bind, chown | bind, chown | bind}, 0},
		"not there":             {Caps{DropAll: true, Add: caps(admin)}, true, capSets{admin, 0, 0, 0}, admin},
	} {
		got, missing := c.caps.plan(now, c.root), c.caps.missing(now, c.root)
		if got != c.want || missing != c.missing {
			t.Errorf("%s: got %x, missing %x, want %x and %x", name, got, missing, c.want, c.missing)
		}
	}
	now.permitted = 0 // an unprivileged user of a container whose bounding set is full
	add := Caps{Add: caps(bind)}
	if add.missing(now, false) != bind || add.missing(now, true) != 0 {
		t.Error("only root gets by exec what is not permitted before")
	}
}

func TestDecimal(t *testing.T) {
	for n, want := range map[int]string{0: "0", 7: "7", -1000: "-1000", 1000: "1000"} {
		if got := string(decimal(n)); got != want {
			t.Errorf("%d is %q", n, got)
		}
	}
}

func TestSameGroups(t *testing.T) {
	for _, c := range []struct {
		now  []int
		want []uint32
		same bool
	}{
		{nil, nil, true}, {[]int{1, 2}, []uint32{2, 1, 1}, true}, {[]int{1}, nil, false}, {nil, []uint32{1}, false}, {[]int{1, 2}, []uint32{1}, false},
	} {
		if got := sameGroups(c.now, c.want); got != c.same {
			t.Errorf("%v and %v: %v", c.now, c.want, got)
		}
	}
}

// Who has the group does not need it in the list, and needs no privilege then.
func TestHasGroups(t *testing.T) {
	for _, c := range []struct {
		now  []int
		gid  int
		want []uint32
		has  bool
	}{
		{nil, 1000, []uint32{1000}, true}, {[]int{7}, 1000, []uint32{1000, 7}, true}, {[]int{1000}, 1000, []uint32{1000}, true},
		{nil, 0, []uint32{1000}, false}, {nil, 1000, []uint32{1000, 7}, false}, {[]int{7}, 1000, []uint32{1000}, false},
	} {
		r := &Request{Setup: Setup{GID: new(uint32(1000)), Groups: c.want}}
		if got := r.hasGroups(c.now, c.gid); got != c.has {
			t.Errorf("%v of group %d, %v wanted: %v", c.now, c.gid, c.want, got)
		}
	}
}

// The shim has to come before everything that takes time or signals.
func TestImportsNextToNothing(t *testing.T) {
	for path := range strings.FieldsSeq(imports(t)) {
		if path != "slices" && path != "syscall" && path != "unsafe" {
			t.Errorf("the shim imports %s", path)
		}
	}
}

func imports(t *testing.T) (paths string) {
	t.Helper()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range file.Imports {
			paths += " " + strings.Trim(i.Path.Value, `"`)
		}
	}
	return paths
}
