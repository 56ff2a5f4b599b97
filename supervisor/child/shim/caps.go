package shim

import (
	"syscall"
	"unsafe"
)

// prctl(2) and capset(2), as linux/prctl.h and linux/capability.h number them.
const (
	prSetKeepCaps      = 8
	prCapbsetRead      = 23
	prCapbsetDrop      = 24
	prSetNoNewPrivs    = 38
	prCapAmbient       = 47
	capAmbientIsSet    = 1
	capAmbientRaise    = 2
	capabilityVersion3 = 0x20080522
)

// capSets are the sets of a thread, one bit each.
type capSets struct{ bounding, ambient, inheritable, permitted uint64 }

// plan is what the sets have to be right before exec, for root or another user.
// Effective is permitted there, and exec makes of them (capabilities(7)): for
// root, all of bounding; for others, ambient.
func (c *Caps) plan(now capSets, root bool) capSets {
	drop, add := mask(c.Drop), mask(c.Add)
	if c.DropAll {
		drop = ^uint64(0)
	}
	next := capSets{
		bounding:  now.bounding&^drop | add,
		ambient:   now.ambient &^ drop,
		permitted: now.permitted & (now.bounding&^drop | add),
	}
	if !root {
		next.ambient |= add
		next.permitted = next.ambient
	}
	next.inheritable = now.inheritable&^drop | next.ambient
	return next
}

// missing are those of Add that are not there to be added: nothing can put a
// capability back into the bounding set, and an ambient one has to be permitted.
func (c *Caps) missing(now capSets, root bool) uint64 {
	there := now.bounding
	if !root {
		there &= now.permitted
	}
	return mask(c.Add) &^ there
}

func mask(caps []Cap) (set uint64) {
	for _, c := range caps {
		set |= 1 << c.Number
	}
	return set
}

// capHeader and capData are what capget and capset take: the sets in halves of
// 32 bits.
type capHeader struct {
	version uint32
	pid     int32
}

type capData [2]struct{ effective, permitted, inheritable uint32 }

func currentCaps() (sets capSets, errno syscall.Errno) {
	header, data := capHeader{version: capabilityVersion3}, capData{}
	_, _, errno = syscall.RawSyscall(syscall.SYS_CAPGET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	if errno != 0 {
		return sets, errno
	}
	for i, d := range data {
		sets.permitted |= uint64(d.permitted) << (32 * i)
		sets.inheritable |= uint64(d.inheritable) << (32 * i)
	}
	for bit := range 64 {
		in, errno := prctl(prCapbsetRead, uintptr(bit), 0)
		if errno != 0 {
			break // EINVAL: the kernel knows no more
		}
		sets.bounding |= uint64(in) << bit
		in, _ = prctl(prCapAmbient, capAmbientIsSet, uintptr(bit)) // EINVAL before Linux 4.3: in none
		sets.ambient |= uint64(in&1) << bit
	}
	return sets, 0
}

func setCaps(permitted, inheritable uint64) syscall.Errno {
	header, data := capHeader{version: capabilityVersion3}, capData{}
	for i := range data {
		data[i].permitted = uint32(permitted >> (32 * i))
		data[i].effective = data[i].permitted
		data[i].inheritable = uint32(inheritable >> (32 * i))
	}
	_, _, errno := syscall.RawSyscall(syscall.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&data)), 0)
	return errno
}

// eachCap calls fn for the capabilities of a set until one fails.
func eachCap(set uint64, step Step, fn func(bit uintptr) syscall.Errno) *Failure {
	for bit := range 64 {
		if set&(1<<bit) == 0 {
			continue
		}
		if errno := fn(uintptr(bit)); errno != 0 {
			return &Failure{step, uint32(bit), uint32(errno)}
		}
	}
	return nil
}

func prctl(option, a, b uintptr) (uintptr, syscall.Errno) {
	value, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, option, a, b, 0, 0, 0)
	if errno != 0 {
		value = 0
	}
	return value, errno
}
