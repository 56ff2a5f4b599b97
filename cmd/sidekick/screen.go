package main

import (
	"context"
	"os"
	"os/signal"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// screen shows something that changes on a terminal, and gives the terminal
// back as it was, however that ends.
type screen struct {
	out   *os.File
	keys  int           // descriptor of a terminal to read keys from, or -1
	modes *unix.Termios // of keys, before
}

// The sequences of xterm and all that imitate it: the other screen, the cursor.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	toTop       = "\x1b[H"
	restOfLine  = "\x1b[K"
	restBelow   = "\x1b[J"
)

// keyPause is how long a look for a key takes, in tenths of a second.
const keyPause = 1

// openScreen takes the terminal over. Keys come one by one and unseen; Ctrl-C
// stays a signal, and Ctrl-Z, which would leave the other screen behind, is
// none.
func openScreen(in, out *os.File) *screen {
	s := &screen{out: out, keys: -1}
	if modes, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS); err == nil {
		quiet := *modes
		quiet.Lflag &^= unix.ICANON | unix.ECHO
		quiet.Cc[unix.VMIN], quiet.Cc[unix.VTIME], quiet.Cc[unix.VSUSP] = 0, keyPause, 0
		if unix.IoctlSetTermios(int(in.Fd()), unix.TCSETS, &quiet) == nil {
			s.keys, s.modes = int(in.Fd()), modes
		}
	}
	_, _ = out.WriteString(enterScreen)
	return s
}

// close gives the terminal back.
func (s *screen) close() {
	if s.modes != nil {
		_ = unix.IoctlSetTermios(s.keys, unix.TCSETS, s.modes)
	}
	_, _ = s.out.WriteString(leaveScreen)
}

// size is that of the terminal, 80 × 24 where it does not tell.
func (s *screen) size() (columns, rows int) { return terminalSize(s.out) }

func terminalSize(out *os.File) (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(out.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}

// draw shows these lines, which fit, in place of what was there.
func (s *screen) draw(lines []string) {
	text := toTop + strings.Join(lines, restOfLine+"\r\n") + restOfLine + restBelow
	_, _ = s.out.WriteString(text)
}

// pause waits for a time, the end of ctx, another size of the terminal, or a
// key; it returns false when all is to end: ctx has, q was pressed, or the
// terminal is gone.
func (s *screen) pause(ctx context.Context, d time.Duration) bool {
	columns, rows := s.size()
	for end := time.Now().Add(d); time.Now().Before(end) && ctx.Err() == nil; {
		if s.keys < 0 {
			select {
			case <-ctx.Done():
			case <-time.After(keyPause * time.Second / 10):
			}
		} else if key, ok := s.key(); !ok || key == 'q' {
			return false
		}
		if c, r := s.size(); c != columns || r != rows {
			break
		}
	}
	return ctx.Err() == nil
}

// key looks for a key for a tenth of a second; 0: there was none.
func (s *screen) key() (key byte, ok bool) {
	var b [1]byte
	n, err := unix.Read(s.keys, b[:])
	switch {
	case err == unix.EINTR || err == unix.EAGAIN:
		return 0, true
	case err != nil:
		return 0, false
	case n == 0:
		return 0, true
	}
	return b[0], true
}

// refresh draws anew every so often, until the user or a signal ends it. The
// error is that of draw.
func refresh(ctx context.Context, every time.Duration, draw func(ctx context.Context, columns, rows int) ([]string, error)) error {
	ctx, stop := signal.NotifyContext(ctx, unix.SIGINT, unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT)
	defer stop()
	s := openScreen(os.Stdin, os.Stdout)
	defer s.close()
	for {
		columns, rows := s.size()
		lines, err := draw(ctx, columns, rows)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		}
		s.draw(fit(lines, columns, rows))
		if !s.pause(ctx, every) {
			return nil
		}
	}
}

// fit cuts what does not fit on the terminal, and says so.
func fit(lines []string, columns, rows int) []string {
	if len(lines) > rows {
		lines = append(lines[:rows-1:rows-1], "…")
	}
	fitting := make([]string, len(lines))
	for i, line := range lines {
		fitting[i] = cut(line, columns)
	}
	return fitting
}

// cut shortens a line to so many columns, and marks it where something is missing.
func cut(line string, columns int) string {
	short, whole := clip(line, columns)
	if whole || columns < 1 {
		return short
	}
	short, _ = clip(line, columns-1)
	return short + "…"
}

// clip is the beginning of a line in so many columns, and whether that is all of
// it. Sequences that set colours take none, and are kept.
func clip(line string, columns int) (short string, whole bool) {
	var kept strings.Builder
	width := 0
	for i := 0; i < len(line); {
		if line[i] == '\x1b' {
			end := strings.IndexByte(line[i:], 'm')
			if end < 0 {
				break
			}
			kept.WriteString(line[i : i+end+1])
			i += end + 1
			continue
		}
		r, n := utf8.DecodeRuneInString(line[i:])
		if width < columns {
			kept.WriteRune(r)
		}
		width++
		i += n
	}
	return kept.String(), width <= columns
}
