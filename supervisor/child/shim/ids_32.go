//go:build 386 || arm

package shim

import "syscall"

// The calls of the same names without 32 take ids of 16 bits here.
const (
	sysSetgroups = syscall.SYS_SETGROUPS32
	sysSetresuid = syscall.SYS_SETRESUID32
	sysSetresgid = syscall.SYS_SETRESGID32
)
