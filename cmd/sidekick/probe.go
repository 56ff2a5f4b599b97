package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"sidekick/health"
	"sidekick/supervisor"
	"sidekick/supervisor/child"
)

// probe runs the commands of exec checks, each as its program would run it.
type probe struct {
	supervisor *supervisor.Supervisor
	reaper     *child.Reaper
	dir        string
}

// maxProbeOutput is how much of a check's output is kept, in bytes: its end,
// where the reason usually stands.
const maxProbeOutput = 4 << 10

// run implements health.Command.
func (p probe) run(ctx context.Context, target health.Target) (output string, err error) {
	snapshot, _ := p.supervisor.Snapshot()
	for _, st := range snapshot.Programs {
		if st.Name == target.Program && st.Launch == target.Launch {
			spec, err := supervisor.Spec(&st.Config.Launch, target.Check.Command, os.Environ(), p.dir)
			if err != nil {
				return "", fmt.Errorf("cannot execute %w", err)
			}
			return p.execute(ctx, spec)
		}
	}
	return "", errors.New("the program is gone")
}

// lastWords bounds the wait for the output after the check's end: something it
// left behind may hold the pipe open.
const lastWords = 100 * time.Millisecond

func (p probe) execute(ctx context.Context, spec child.Spec) (string, error) {
	r, w, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer r.Close()
	spec.Stdout, spec.Stderr = w, w
	said := make(chan string, 1)
	go func() { said <- tail(r, maxProbeOutput) }() // ends when r is closed
	exit, err := p.reaper.RunCommand(ctx, spec)
	_ = w.Close()
	_ = r.SetReadDeadline(time.Now().Add(lastWords))
	output := <-said
	switch {
	case ctx.Err() != nil:
		return "", errors.New(withOutput("no exit in time", output))
	case err != nil:
		return "", fmt.Errorf("cannot execute %w", supervisor.ExplainStart(spec.Path, spec.Dir, err))
	case exit != child.Exit{}:
		return "", errors.New(withOutput(supervisor.ExitReason(exit), output))
	}
	return output, nil
}

func withOutput(what, output string) string {
	if output == "" {
		return what
	}
	return what + ": " + output
}

// tail reads all and returns the end of it as one line.
func tail(r io.Reader, limit int) string {
	var kept []byte
	buffer := make([]byte, limit)
	for {
		n, err := r.Read(buffer)
		kept = append(kept, buffer[:n]...)
		kept = kept[max(0, len(kept)-limit):]
		if err != nil {
			return strings.Join(strings.Fields(string(bytes.ToValidUTF8(kept, []byte("?")))), " ")
		}
	}
}
