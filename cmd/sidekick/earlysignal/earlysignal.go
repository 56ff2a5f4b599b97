// Package earlysignal takes the process's signals while it is still
// initialising. The Go runtime lets PID 1 die with status 2 of a TERM that
// arrives before signal.Notify, and the libraries sidekick links need several
// milliseconds to initialise. Packages are initialised in the order of their
// import paths as soon as their own imports are, and this one imports next to
// nothing: its init runs before those of gRPC and protobuf.
package earlysignal

import (
	"os"
	"os/signal"
	"syscall"
)

// C delivers every signal that PID 1 handles or ignores. It is the one piece of
// package state in the program: it has to exist before main. A command that
// wants the usual dispositions calls signal.Reset.
//
// Not taken are CHLD, which belongs to the reaper; URG, the runtime's own;
// TSTP and TTOU, whose default stops a foreground process and does nothing to
// PID 1 (handling TTOU makes a write to a tostop terminal spin; TTIN is taken,
// as `run` reads no terminal); WINCH and CONT, whose default does nothing; KILL
// and STOP, which nobody can take.
var C = make(chan os.Signal, 64)

func init() {
	signal.Notify(C,
		syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGHUP,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM,
		syscall.SIGABRT, syscall.SIGBUS, syscall.SIGFPE, syscall.SIGILL,
		syscall.SIGSEGV, syscall.SIGSYS, syscall.SIGTRAP, syscall.SIGSTKFLT,
		syscall.SIGIO, syscall.SIGPWR, syscall.SIGPROF, syscall.SIGVTALRM,
		syscall.SIGXCPU, syscall.SIGXFSZ, syscall.SIGTTIN)
	// Taken, so that it ends nothing, and told to nobody: each write to a reader
	// who is gone brings one, and many of them would leave no room for a TERM.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
}
