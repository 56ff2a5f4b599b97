package main

import (
	"encoding/json"
	"net"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sidekick/control"
)

// offered is what TAB offers behind the words, without descriptions, and whether
// files are offered beside it.
func offered(t *testing.T, words ...string) (all []string, files bool) {
	t.Helper()
	stdout, _, code := sidekick(t, append([]string{cobra.ShellCompNoDescRequestCmd}, words...)...)
	lines := strings.Split(strings.TrimSpace(stdout), "\n")
	last := lines[len(lines)-1]
	if code != 0 || !strings.HasPrefix(last, ":") {
		t.Fatalf("exit code %d, %q", code, stdout)
	}
	return lines[:len(lines)-1], last == ":0"
}

// fakeSidekick answers with these programs on a socket.
func fakeSidekick(t *testing.T, answer http.HandlerFunc) (socket string) {
	t.Helper()
	socket = filepath.Join(t.TempDir(), "s.sock")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: answer}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(l) })
	t.Cleanup(func() { _ = server.Close(); serving.Wait() })
	return socket
}

func TestCompletion(t *testing.T) {
	socket := fakeSidekick(t, func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode([]control.Program{{Name: "db", Group: "db", State: "RUNNING"}, {Name: "web-0", Group: "web", State: "FATAL", Reason: "exit status 1"},
			{Name: "web-1", Group: "web", State: "RUNNING"}})
	})
	for _, c := range []struct{ line, want string }{
		{"sta", "start status"},
		{"start ", "db web web-0 web-1 all"},
		{"stop w", "web web-0 web-1"},
		{"restart --rolling web-0 ", "db web web-1"},
		{"status ", "db web web-0 web-1"},
		{"top d", "db"},
		{"drain ", "db web web-0 web-1"},
		{"logs w", "web web-0 web-1"},
		{"logs --stream ", "stdout stderr"},
		{"signal TE", "TERM"},
		{"signal SIGUSR", "SIGUSR1 SIGUSR2"},
		{"signal hu", "HUP"},
		{"signal HUP web-", "web-0 web-1"},
		{"signal HUP ", "db web web-0 web-1 all"},
		{"status -o ", "table wide json"},
		{"events -o ", "table json"},
		{"run --log-format ", "text json"},
		{"register --check ", "tcp http http:/"},
		{"completion ", "bash zsh fish"},
		{"version ", ""},
		{"reload ", ""},
		{"stop --timeout ", ""},
		{"check -c ", "FILES"},
		{"status --socket ", "FILES"},
		{"run -- ", "FILES"},
		{"convert ", "FILES"},
	} {
		t.Run(c.line, func(t *testing.T) {
			t.Parallel()
			words := strings.Split(c.line, " ")
			if slices.Contains([]string{"start", "stop", "restart", "top", "drain", "logs", "signal"}, words[0]) || c.line == "status " {
				words = slices.Insert(words, 1, "--socket", socket)
			}
			got, files := offered(t, words...)
			if files {
				got = append(got, "FILES")
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("offered %q, want %q", got, c.want)
			}
		})
	}
	stdout, _, _ := sidekick(t, cobra.ShellCompRequestCmd, "stop", "--socket", socket, "web-0")
	if !strings.Contains(stdout, "web-0\tFATAL exit status 1\n") {
		t.Errorf("described as %q", stdout)
	}
}

// Where nobody answers, or not in time, nothing is offered and nothing is said.
func TestCompletionWithoutAnswer(t *testing.T) {
	release := make(chan struct{})
	defer close(release)
	silent := fakeSidekick(t, func(http.ResponseWriter, *http.Request) { <-release })
	for _, socket := range []string{silent, filepath.Join(t.TempDir(), "none.sock")} {
		stdout, stderr, code := sidekick(t, cobra.ShellCompNoDescRequestCmd, "stop", "--socket", socket, "")
		if code != 0 || stdout != ":4\n" || strings.Contains(stderr, "error") {
			t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
		}
	}
}

// Each flag that takes a value from a list or the name of a file is completed, and
// each command that takes names of programs.
func TestEveryCommandIsCompleted(t *testing.T) {
	for _, c := range newRootCommand().Commands() {
		if strings.Contains(c.Use, "NAME") && c.ValidArgsFunction == nil {
			t.Errorf("%s takes names and does not complete them", c.Name())
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			_, there := c.GetFlagCompletionFunc(f.Name)
			if lists := strings.Contains(f.Usage, " or json") || f.Name == "socket" || f.Name == "config"; lists && !there {
				t.Errorf("%s --%s is not completed", c.Name(), f.Name)
			}
		})
	}
}

func TestCompletionScripts(t *testing.T) {
	for shell, want := range map[string]string{"bash": "complete -o default -F __start_sidekick sidekick", "zsh": "#compdef sidekick", "fish": "complete -c sidekick"} {
		stdout, _, code := sidekick(t, "completion", shell)
		if code != 0 || !strings.Contains(stdout, want) {
			t.Errorf("%s: exit code %d, no %q", shell, code, want)
		}
	}
}
