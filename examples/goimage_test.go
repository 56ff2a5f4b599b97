package examples_test

import (
	"archive/tar"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// goImage makes an image of this machine's own Go and shell, the stand-in for
// golang:1.26 where no registry is reachable. It is kept for the next run
// under a tag of its own.
func goImage(t *testing.T) string {
	t.Helper()
	tag := "sidekick-test/go:" + regexp.MustCompile(`[^\w.]`).ReplaceAllString(strings.TrimPrefix(runtime.Version(), "go"), "-")
	if exec.Command("docker", "image", "inspect", tag).Run() == nil {
		return tag
	}
	r, w := io.Pipe()
	load := exec.Command("docker", "import",
		"--change", "ENV PATH=/usr/local/go/bin:/bin", "--change", "ENV HOME=/root", "--change", "ENV GOTOOLCHAIN=local", "-", tag)
	load.Stdin = r
	written := make(chan error, 1)
	go func() { // ends when docker has read, or closed, the pipe
		err := writeGoImage(w)
		w.CloseWithError(err)
		written <- err
	}()
	out, err := load.CombinedOutput()
	r.Close()
	if writeErr := <-written; err != nil || writeErr != nil {
		t.Fatalf("docker import: %v, %v\n%s", err, writeErr, out)
	}
	return tag
}

// writeGoImage writes the image's files as a tar archive: what compiling
// needs of GOROOT, a shell for RUN, and the shell's libraries.
func writeGoImage(w io.Writer) error {
	root, err := goroot()
	if err != nil {
		return err
	}
	archive := tar.NewWriter(w)
	for _, dir := range []string{"tmp", "root"} {
		if err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o777}); err != nil {
			return err
		}
	}
	for _, part := range []string{"bin/go", "go.env", "VERSION", "pkg/include", "pkg/tool", "src"} {
		if err := addTree(archive, filepath.Join(root, part), filepath.Join("usr/local/go", part)); err != nil {
			return err
		}
	}
	files, err := shellFiles()
	if err != nil {
		return err
	}
	for _, file := range files {
		if err := addFile(archive, file, strings.TrimPrefix(file, "/")); err != nil {
			return err
		}
	}
	return archive.Close()
}

func goroot() (string, error) {
	out, err := exec.Command("go", "env", "GOROOT").Output()
	return strings.TrimSpace(string(out)), err
}

// shellFiles are /bin/sh and the libraries that ldd(1) names.
func shellFiles() ([]string, error) {
	out, err := exec.Command("ldd", "/bin/sh").CombinedOutput()
	if err != nil && !strings.Contains(string(out), "not a dynamic executable") {
		return nil, fmt.Errorf("cannot find the libraries of /bin/sh: %w: %s", err, out)
	}
	return append(regexp.MustCompile(`/[^\s)]+`).FindAllString(string(out), -1), "/bin/sh"), nil
}

// addTree adds a file or a directory without what only tests read.
func addTree(archive *tar.Writer, from, to string) error {
	return filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() == "testdata":
			return fs.SkipDir
		case d.IsDir(), strings.HasSuffix(path, "_test.go"):
			return nil
		}
		return addFile(archive, path, to+strings.TrimPrefix(path, from))
	})
}

// addFile adds what path is or points to.
func addFile(archive *tar.Writer, path, name string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	h := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Size: info.Size(), ModTime: info.ModTime()}
	if err := archive.WriteHeader(h); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(archive, f)
	return err
}
