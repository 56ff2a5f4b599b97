package config

import (
	"strings"

	"golang.org/x/sys/unix"
)

// UlimitResource is the number that setrlimit(2) knows a limit by, which has
// the name it has in Compose: nofile, nproc, core and so on.
func UlimitResource(name string) (int, bool) {
	resource, ok := map[string]int{
		"as":         unix.RLIMIT_AS,
		"core":       unix.RLIMIT_CORE,
		"cpu":        unix.RLIMIT_CPU,
		"data":       unix.RLIMIT_DATA,
		"fsize":      unix.RLIMIT_FSIZE,
		"locks":      unix.RLIMIT_LOCKS,
		"memlock":    unix.RLIMIT_MEMLOCK,
		"msgqueue":   unix.RLIMIT_MSGQUEUE,
		"nice":       unix.RLIMIT_NICE,
		"nofile":     unix.RLIMIT_NOFILE,
		"nproc":      unix.RLIMIT_NPROC,
		"rss":        unix.RLIMIT_RSS,
		"rtprio":     unix.RLIMIT_RTPRIO,
		"rttime":     unix.RLIMIT_RTTIME,
		"sigpending": unix.RLIMIT_SIGPENDING,
		"stack":      unix.RLIMIT_STACK,
	}[name]
	return resource, ok
}

// capabilities stand in the order of their numbers (linux/capability.h).
const capabilities = `CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP
LINUX_IMMUTABLE NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO
SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE
AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON
BPF CHECKPOINT_RESTORE`

// CapabilityNumber is the number of a capability (capabilities(7)), up to the
// last of Linux 6.x. As with Docker, the CAP_ may be left out and case does not
// count. ALL is none.
func CapabilityNumber(name string) (uint, bool) {
	name = strings.TrimPrefix(strings.ToUpper(name), "CAP_")
	for number, known := range strings.Fields(capabilities) {
		if known == name {
			return uint(number), true
		}
	}
	return 0, false
}
