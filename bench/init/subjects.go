package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// subject is an init or supervisor, and how it is told what to run.
type subject struct {
	name   string
	binary string
	many   bool // runs several programs and starts them again
	// argv writes what the subject reads into dir and returns its command line.
	// scripts are executable files, one a program.
	argv func(dir string, scripts []string) ([]string, error)
	stop syscall.Signal // ends everything in order
	// files are what an image needs beside binary, directories with all in them.
	files []string
}

func subjects(bin, etcd string) []subject {
	sidekick := filepath.Join(bin, "sidekick")
	return []subject{
		{name: "sidekick", binary: sidekick, many: true, stop: syscall.SIGTERM, argv: sidekickFile(sidekick, "")},
		{name: "sidekick, registered", binary: sidekick, many: true, stop: syscall.SIGTERM, argv: sidekickFile(sidekick, etcd)},
		{name: "supervisord", binary: "supervisord", many: true, stop: syscall.SIGTERM, argv: supervisordFile,
			files: []string{"/usr/bin/python3", "/usr/lib/python3/dist-packages/supervisor", "/usr/lib/python3/dist-packages/pkg_resources", pythonLibrary()}},
		{name: "s6", binary: "s6-svscan", many: true, stop: syscall.SIGTERM, argv: runScripts("s6-svscan"), files: []string{"/usr/bin/s6-supervise"}},
		{name: "runit", binary: "runsvdir", many: true, stop: syscall.SIGHUP, argv: runScripts("runsvdir"), files: []string{"/usr/bin/runsv"}},
		{name: "sidekick, one command", binary: sidekick, stop: syscall.SIGTERM, argv: oneCommand(sidekick, "run", "--")},
		{name: "tini", binary: "tini", stop: syscall.SIGTERM, argv: oneCommand("tini", "--")},
		{name: "dumb-init", binary: "dumb-init", stop: syscall.SIGTERM, argv: oneCommand("dumb-init", "--")},
	}
}

// pythonLibrary is the directory of Python's standard library.
func pythonLibrary() string {
	all, _ := filepath.Glob("/usr/lib/python3.*")
	return strings.Join(all, "")
}

func oneCommand(argv ...string) func(string, []string) ([]string, error) {
	return func(_ string, scripts []string) ([]string, error) { return append(argv, scripts[0]), nil }
}

// sidekickFile has the defaults, but a restart at once after the same second
// that the others want of a run.
func sidekickFile(binary, etcd string) func(string, []string) ([]string, error) {
	return func(dir string, scripts []string) ([]string, error) {
		programs := map[string]any{}
		for i, s := range scripts {
			p := map[string]any{"command": []string{s}, "restart": "always", "backoff": map[string]any{"reset_after": "1s"}}
			if etcd != "" {
				p["register"] = map[string]any{"port": fmt.Sprintf("%d/udp", 9000+i), "advertise": map[string]any{"ip": "203.0.113.7", "port": 9000 + i}}
			}
			programs[fmt.Sprintf("p%d", i)] = p
		}
		file := map[string]any{"programs": programs, "control": map[string]any{"socket": filepath.Join(dir, "s.sock")}}
		if etcd != "" {
			file["registry"] = map[string]any{"etcd": map[string]any{"endpoints": []string{etcd}}, "drain": "0s"}
		}
		text, err := json.Marshal(file) // which YAML contains
		if err != nil {
			return nil, err
		}
		path := filepath.Join(dir, "sidekick.yaml")
		return []string{binary, "run", "-c", path}, os.WriteFile(path, text, 0o600)
	}
}

func supervisordFile(dir string, scripts []string) ([]string, error) {
	var text strings.Builder
	fmt.Fprintf(&text, "[supervisord]\nnodaemon=true\nuser=root\nlogfile=/dev/null\nlogfile_maxbytes=0\npidfile=%s/pid\n", dir)
	for i, s := range scripts {
		fmt.Fprintf(&text, "[program:p%d]\ncommand=%s\nautorestart=true\nredirect_stderr=true\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n", i, s)
	}
	path := filepath.Join(dir, "supervisord.conf")
	return []string{"supervisord", "-c", path}, os.WriteFile(path, []byte(text.String()), 0o600)
}

// runScripts makes a directory for each service, as s6 and runit want it.
func runScripts(binary string) func(string, []string) ([]string, error) {
	return func(dir string, scripts []string) ([]string, error) {
		for i, s := range scripts {
			service := filepath.Join(dir, "scan", fmt.Sprintf("p%d", i))
			if err := os.MkdirAll(service, 0o755); err != nil {
				return nil, err
			}
			if err := os.WriteFile(filepath.Join(service, "run"), []byte("#!/bin/sh\nexec "+s+"\n"), 0o755); err != nil {
				return nil, err
			}
		}
		// runsvdir waits a second where the directory was changed in this one.
		scan, old := filepath.Join(dir, "scan"), time.Now().Add(-time.Hour)
		return []string{binary, scan}, os.Chtimes(scan, old, old)
	}
}
