// Package shim turns a second process of the same binary into a program that
// has another user, limits or capabilities: it sets them and executes the
// program in its place. Linking the package is enough, its init takes the
// process over when Marker is in the environment.
//
// ForkExec cannot do this work: between fork and exec a Go process may only do
// what the syscall package has prepared.
//
// Ids, capabilities and the nice value belong to a thread, and exec keeps those
// of the thread that calls it. init runs on the main thread, to which it is
// locked, so plain system calls suffice; syscall.Setuid and its like, which
// stop all threads to change each of them, are not needed.
//
// It imports next to nothing, so its init comes before nearly all others: not
// much of the binary is initialised on the way to the program, and signals have
// their default effect.
package shim

import (
	"slices"
	"syscall"
	"unsafe"
)

const (
	// Executable is the running binary, even when its file was replaced.
	Executable = "/proc/self/exe"
	// Marker is the only variable in the environment of a shim: a variable of
	// the program's own could change what the Go runtime does here.
	Marker = "SIDEKICK_EXEC_SHIM=1"
	// Connection is the descriptor of the shim's end of a stream socket. The
	// length of the request comes in as eight bytes, then the request. Back go
	// Executing before exec, and a Failure. It is closed by a successful exec.
	Connection = 3
)

// The status of a shim that executed nothing.
const (
	exitFailed  = 127
	exitRefused = 2
)

// Args is the argv of a shim.
func Args() []string { return []string{"sidekick", "exec"} }

func init() {
	if value, marked := syscall.Getenv("SIDEKICK_EXEC_SHIM"); !marked || value != "1" {
		return
	}
	if !isSocket(Connection) {
		const refusal = "error: cannot set up a program: sidekick starts this by itself\ntry: unset SIDEKICK_EXEC_SHIM\n"
		_, _ = syscall.Write(2, []byte(refusal))
		syscall.Exit(exitRefused)
	}
	syscall.CloseOnExec(Connection)
	if failure := run(); failure != nil {
		report := failure.encode()
		_, _ = syscall.Write(Connection, report[:])
	}
	syscall.Exit(exitFailed)
}

// run returns only if something was impossible.
func run() *Failure {
	data, ok := receive()
	if !ok {
		return &Failure{Step: Reading}
	}
	r, ok := Decode(data)
	if !ok {
		return &Failure{Step: Reading}
	}
	if failure := r.apply(); failure != nil {
		return failure
	}
	if _, err := syscall.Write(Connection, []byte{byte(Executing)}); err != nil {
		return fail(Exec, err) // nobody is there to know of the program
	}
	// Exec gives back the limit of open files that the runtime has raised for
	// itself, unless Setrlimit has set it.
	return fail(Exec, syscall.Exec(r.Path, r.Args, r.Env))
}

func isSocket(fd int) bool {
	var st syscall.Stat_t
	return syscall.Fstat(fd, &st) == nil && st.Mode&syscall.S_IFMT == syscall.S_IFSOCK
}

func receive() ([]byte, bool) {
	var prefix [8]byte
	if !readFull(prefix[:]) {
		return nil, false
	}
	d := decoder{rest: prefix[:]}
	length := d.number()
	if length > maxRequest {
		return nil, false
	}
	data := make([]byte, length)
	return data, readFull(data)
}

func readFull(into []byte) bool {
	for len(into) > 0 {
		n, err := syscall.Read(Connection, into)
		if err == syscall.EINTR {
			continue
		}
		if n <= 0 || err != nil {
			return false
		}
		into = into[n:]
	}
	return true
}

// Send is what goes through the connection for a request.
func (r *Request) Send() []byte {
	data := r.Encode()
	var e encoder
	e.number(uint64(len(data)))
	return append(e, data...)
}

// apply takes the steps in an order in which none takes away what a later one
// needs: the user comes late, since most need its privileges.
func (r *Request) apply() *Failure {
	for _, step := range []func(*Request) *Failure{
		(*Request).chdir, (*Request).setOOMScoreAdj, (*Request).setRlimits, (*Request).setNice, (*Request).setUmask,
		(*Request).setGroups, (*Request).setGID, (*Request).setUserAndCaps, (*Request).setNoNewPrivileges,
	} {
		if failure := step(r); failure != nil {
			return failure
		}
	}
	return nil
}

func (r *Request) chdir() *Failure {
	if r.Dir == "" {
		return nil
	}
	return fail(Chdir, syscall.Chdir(r.Dir))
}

func (r *Request) setOOMScoreAdj() *Failure {
	if r.OOMScoreAdj == nil {
		return nil
	}
	fd, err := syscall.Open("/proc/self/oom_score_adj", syscall.O_WRONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return fail(OOMScoreAdj, err)
	}
	defer syscall.Close(fd)
	_, err = syscall.Write(fd, decimal(*r.OOMScoreAdj))
	return fail(OOMScoreAdj, err)
}

// setRlimits uses Setrlimit: it also makes Exec leave RLIMIT_NOFILE alone. A
// small limit of memory or threads holds for the Go runtime here as well; what
// comes after it allocates less than the heap has in reserve from the start.
func (r *Request) setRlimits() *Failure {
	for i, l := range r.Rlimits {
		if err := syscall.Setrlimit(l.Resource, &syscall.Rlimit{Cur: l.Soft, Max: l.Hard}); err != nil {
			f := fail(SetRlimit, err)
			f.Detail = uint32(i)
			return f
		}
	}
	return nil
}

func (r *Request) setNice() *Failure {
	if r.Nice == nil {
		return nil
	}
	return fail(Nice, syscall.Setpriority(syscall.PRIO_PROCESS, 0, *r.Nice))
}

func (r *Request) setUmask() *Failure {
	if r.Umask != nil {
		syscall.Umask(int(*r.Umask))
	}
	return nil
}

// setGroups sets exactly the groups wanted. Who may not do that (setgroups(2)
// needs a privilege even when nothing changes) may be in them already.
func (r *Request) setGroups() *Failure {
	if r.UID == nil && r.GID == nil {
		return nil
	}
	var first unsafe.Pointer
	if len(r.Groups) > 0 {
		first = unsafe.Pointer(&r.Groups[0])
	}
	_, _, errno := syscall.RawSyscall(sysSetgroups, uintptr(len(r.Groups)), uintptr(first), 0)
	if errno == syscall.EPERM {
		if now, err := syscall.Getgroups(); err == nil && r.hasGroups(now, syscall.Getegid()) {
			return nil
		}
	}
	return failErrno(SetGroups, errno)
}

// hasGroups: the process is in the groups already. The group it has is one of
// them for the kernel (in_group_p), listed or not: Kubernetes starts a container
// with a runAsGroup and an empty list.
func (r *Request) hasGroups(now []int, gid int) bool {
	if r.GID != nil && uint32(gid) == *r.GID {
		now = append(now, gid)
	}
	return sameGroups(now, r.Groups)
}

func sameGroups(now []int, want []uint32) bool {
	for _, g := range want {
		if !slices.Contains(now, int(g)) {
			return false
		}
	}
	for _, g := range now {
		if !slices.Contains(want, uint32(g)) {
			return false
		}
	}
	return true
}

func (r *Request) setGID() *Failure {
	if r.GID == nil {
		return nil
	}
	g := uintptr(*r.GID)
	_, _, errno := syscall.RawSyscall(sysSetresgid, g, g, g)
	return failErrno(SetGID, errno)
}

func (r *Request) setUID() *Failure {
	if r.UID == nil {
		return nil
	}
	u := uintptr(*r.UID)
	_, _, errno := syscall.RawSyscall(sysSetresuid, u, u, u)
	return failErrno(SetUID, errno)
}

// setUserAndCaps changes the user between two halves of the capabilities: the
// bounding set needs a privilege of the old user, and a change of the user
// empties the ambient set.
func (r *Request) setUserAndCaps() *Failure {
	if r.Caps == nil {
		return r.setUID()
	}
	now, errno := currentCaps()
	if errno != 0 {
		return failErrno(SetCaps, errno)
	}
	root := r.UID != nil && *r.UID == 0 || r.UID == nil && syscall.Getuid() == 0
	absent := func(uintptr) syscall.Errno { return syscall.EPERM }
	if f := eachCap(r.Caps.missing(now, root), AddCap, absent); f != nil {
		return f
	}
	next := r.Caps.plan(now, root)
	if f := eachCap(now.bounding&^next.bounding, DropCap, func(bit uintptr) syscall.Errno {
		_, errno := prctl(prCapbsetDrop, bit, 0)
		return errno
	}); f != nil {
		return f
	}
	if next.permitted != 0 {
		// Without it the permitted set is emptied when root becomes another
		// user; exec takes it back.
		if _, errno := prctl(prSetKeepCaps, 1, 0); errno != 0 {
			return failErrno(KeepCaps, errno)
		}
	}
	if f := r.setUID(); f != nil {
		return f
	}
	if errno := setCaps(next.permitted, next.inheritable); errno != 0 {
		return failErrno(SetCaps, errno)
	}
	return eachCap(next.ambient, RaiseCap, func(bit uintptr) syscall.Errno {
		_, errno := prctl(prCapAmbient, capAmbientRaise, bit)
		return errno
	})
}

func (r *Request) setNoNewPrivileges() *Failure {
	if !r.NoNewPrivileges {
		return nil
	}
	_, errno := prctl(prSetNoNewPrivs, 1, 0)
	return failErrno(NoNewPrivileges, errno)
}

func fail(step Step, err error) *Failure {
	if err == nil {
		return nil
	}
	errno, ok := err.(syscall.Errno) // package errors is not initialised yet
	if !ok {
		errno = syscall.EINVAL
	}
	return failErrno(step, errno)
}

func failErrno(step Step, errno syscall.Errno) *Failure {
	if errno == 0 {
		return nil
	}
	return &Failure{Step: step, Errno: uint32(errno)}
}

func decimal(n int) []byte {
	var digits []byte
	magnitude := max(n, -n)
	for {
		digits = append([]byte{byte('0' + magnitude%10)}, digits...)
		if magnitude /= 10; magnitude == 0 {
			break
		}
	}
	if n < 0 {
		digits = append([]byte{'-'}, digits...)
	}
	return digits
}
