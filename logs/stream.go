package logs

import (
	"os"
	"sync/atomic"
)

// readSize is how many bytes one read takes: what a pipe holds (pipe(7)).
const readSize = 64 << 10

// stream is one output of one life of a program. All but layout is owned by
// the goroutine in copy.
type stream struct {
	program string
	from    *os.File
	to      *sink
	layout  *atomic.Pointer[layout]

	prefix   []byte
	prefixOf *layout // what prefix was made from

	in  []byte // read, of which the first n bytes are an unfinished line
	n   int
	out []byte // framed lines
}

// copy carries lines over until EOF or an error, which is that somebody closed
// the read end. The unfinished line at the end is a line too.
func (s *stream) copy() {
	for {
		s.makeRoom()
		n, err := s.from.Read(s.in[s.n:])
		s.take(n)
		if err != nil {
			s.finish()
			return
		}
	}
}

// makeRoom sees to it that there is room behind the unfinished line, and gives
// the memory of a long line back after it.
func (s *stream) makeRoom() {
	switch {
	case s.n == len(s.in):
		s.resize(min(max(2*len(s.in), readSize), maxLine+1))
	case len(s.in) > readSize && s.n < readSize/2:
		s.resize(readSize)
		s.out = nil
	}
}

func (s *stream) resize(size int) {
	in := make([]byte, size)
	copy(in, s.in[:s.n])
	s.in = in
}

// take writes the lines that n more bytes have completed, all in one write.
func (s *stream) take(n int) {
	out, rest := frame(s.out[:0], s.namePrefix(), s.in[:s.n+n], s.n)
	s.n = copy(s.in, rest)
	s.write(out)
}

func (s *stream) finish() {
	if s.n == 0 {
		return
	}
	out := append(s.out[:0], s.namePrefix()...)
	out = append(out, s.in[:s.n]...)
	s.write(append(out, '\n'))
}

func (s *stream) write(out []byte) {
	s.out = out
	if len(out) > 0 {
		s.to.write(out)
	}
}

// namePrefix returns the prefix of the layout that is valid now.
func (s *stream) namePrefix() []byte {
	if now := s.layout.Load(); now != s.prefixOf {
		s.prefixOf, s.prefix = now, now.prefix(s.program, s.to.colour)
	}
	return s.prefix
}
