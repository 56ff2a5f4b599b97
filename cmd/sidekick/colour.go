package main

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// Select Graphic Rendition of ECMA-48; "" is no colour.
const (
	bold   = "1"
	dim    = "2"
	red    = "1;31"
	green  = "32"
	yellow = "33"
)

func paint(colour bool, sgr, text string) string {
	if !colour || sgr == "" || text == "" {
		return text
	}
	return "\x1b[" + sgr + "m" + text + "\x1b[0m"
}

// wantsColour: f is a terminal that knows colours and nobody asked for none
// (no-color.org).
func wantsColour(f *os.File) bool {
	return isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// coloured is wantsColour of what a command writes to.
func coloured(out io.Writer) bool {
	file := fileOf(out)
	return file != nil && wantsColour(file)
}

// fileOf is the file behind a stream, nil for none.
func fileOf(stream any) *os.File {
	switch s := stream.(type) {
	case *os.File:
		return s
	case *output:
		return s.file
	}
	return nil
}

// isTerminal: the other side of this stream is one.
func isTerminal(stream any) bool {
	file := fileOf(stream)
	if file == nil {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
