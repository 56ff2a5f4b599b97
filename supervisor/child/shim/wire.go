package shim

// Request is one program to become. It crosses a socket between two processes
// of the same binary, so its form needs no version.
type Request struct {
	Path string
	Dir  string // "": the current directory
	Args []string
	Env  []string
	Setup
}

// maxRequest bounds what is read, in bytes: the kernel takes at most 6 MiB of
// arguments and environment (execve(2)).
const maxRequest = 16 << 20

// Encode is the request as Decode takes it, without the names that are for
// messages only: little-endian numbers of eight bytes, and texts and lists
// behind their length.
func (r *Request) Encode() []byte {
	var e encoder
	e.text(r.Path)
	e.text(r.Dir)
	e.texts(r.Args)
	e.texts(r.Env)
	e.optional(r.UID != nil, func() uint64 { return uint64(*r.UID) })
	e.optional(r.GID != nil, func() uint64 { return uint64(*r.GID) })
	e.number(uint64(len(r.Groups)))
	for _, g := range r.Groups {
		e.number(uint64(g))
	}
	e.number(uint64(len(r.Rlimits)))
	for _, l := range r.Rlimits {
		e.number(uint64(l.Resource))
		e.number(l.Soft)
		e.number(l.Hard)
	}
	e.optional(r.Umask != nil, func() uint64 { return uint64(*r.Umask) })
	e.optional(r.Nice != nil, func() uint64 { return uint64(*r.Nice) })
	e.optional(r.OOMScoreAdj != nil, func() uint64 { return uint64(*r.OOMScoreAdj) })
	e.flag(r.NoNewPrivileges)
	e.flag(r.Caps != nil)
	if r.Caps != nil {
		e.flag(r.Caps.DropAll)
		e.caps(r.Caps.Drop)
		e.caps(r.Caps.Add)
	}
	return e
}

// Decode reads what Encode wrote; false: data is nothing of that kind.
func Decode(data []byte) (Request, bool) {
	d := decoder{rest: data}
	r := Request{Path: d.text(), Dir: d.text(), Args: d.texts(), Env: d.texts()}
	r.UID, r.GID = d.optional(), d.optional()
	r.Groups = make([]uint32, d.length(1))
	for i := range r.Groups {
		r.Groups[i] = d.id()
	}
	r.Rlimits = make([]Rlimit, d.length(3))
	for i := range r.Rlimits {
		r.Rlimits[i] = Rlimit{Resource: int(d.number()), Soft: d.number(), Hard: d.number()}
	}
	r.Umask = d.optional()
	r.Nice, r.OOMScoreAdj = d.optionalInt(), d.optionalInt()
	r.NoNewPrivileges = d.flag()
	if d.flag() {
		r.Caps = &Caps{DropAll: d.flag(), Drop: d.caps(), Add: d.caps()}
	}
	return r, !d.bad && len(d.rest) == 0
}

type encoder []byte

func (e *encoder) number(n uint64) {
	for range 8 {
		*e = append(*e, byte(n))
		n >>= 8
	}
}

func (e *encoder) flag(set bool) {
	if set {
		e.number(1)
	} else {
		e.number(0)
	}
}

func (e *encoder) optional(set bool, value func() uint64) {
	e.flag(set)
	if set {
		e.number(value())
	}
}

func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	*e = append(*e, s...)
}

func (e *encoder) texts(all []string) {
	e.number(uint64(len(all)))
	for _, s := range all {
		e.text(s)
	}
}

func (e *encoder) caps(all []Cap) {
	e.number(uint64(len(all)))
	for _, c := range all {
		e.number(uint64(c.Number))
	}
}

// decoder gives zero values once something was bad.
type decoder struct {
	rest []byte
	bad  bool
}

func (d *decoder) number() (n uint64) {
	if len(d.rest) < 8 {
		d.bad, d.rest = true, nil
		return 0
	}
	for i := range 8 {
		n |= uint64(d.rest[i]) << (8 * i)
	}
	d.rest = d.rest[8:]
	return n
}

func (d *decoder) id() uint32 {
	n := d.number()
	d.bad = d.bad || n>>32 != 0
	return uint32(n)
}

// length reads the length of a list whose elements have at least so many
// numbers each; one that does not fit into the rest is bad.
func (d *decoder) length(numbers int) int {
	n := d.number()
	if n > uint64(len(d.rest)/8/numbers) {
		d.bad, d.rest = true, nil
		return 0
	}
	return int(n)
}

func (d *decoder) flag() bool {
	n := d.number()
	d.bad = d.bad || n > 1
	return n == 1
}

func (d *decoder) optional() *uint32 {
	if !d.flag() {
		return nil
	}
	return new(d.id())
}

func (d *decoder) optionalInt() *int {
	if !d.flag() {
		return nil
	}
	return new(int(d.number()))
}

func (d *decoder) text() string {
	n := d.number()
	if n > uint64(len(d.rest)) {
		d.bad, d.rest = true, nil
		return ""
	}
	s := string(d.rest[:n])
	d.rest = d.rest[n:]
	return s
}

func (d *decoder) texts() []string {
	all := make([]string, d.length(1))
	for i := range all {
		all[i] = d.text()
	}
	return all
}

func (d *decoder) caps() []Cap {
	all := make([]Cap, d.length(1))
	for i := range all {
		all[i].Number = uint(d.number())
	}
	return all
}
