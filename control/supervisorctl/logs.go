package supervisorctl

import (
	"context"
	"sync"

	"sidekick/config"
	"sidekick/logs"
)

// Logs is what sidekick keeps of the programs' output and, under logs.Sidekick,
// of its own messages.
type Logs interface {
	Bytes(program string, stream logs.Stream) (data []byte, end uint64)
	Clear(program string, stream logs.Stream)
	Follow(programs []string, stream logs.Stream, n int) *logs.Follower
}

// cleared remembers where the streams began anew: Supervisor's clients count
// bytes from there.
type cleared struct {
	mu sync.Mutex
	at map[source]uint64
}

// source is one stream of one program; of sidekick itself it is both.
type source struct {
	program string
	stream  logs.Stream
}

var ownMessages = source{program: logs.Sidekick}

// file is a stream as if it were a log file. Its oldest bytes may be lost.
type file struct {
	size int // in bytes, of which the last are in kept
	kept []byte
}

func (s *Server) file(from source) file {
	data, end := s.Logs.Bytes(from.program, from.stream)
	s.cleared.mu.Lock()
	defer s.cleared.mu.Unlock()
	begin := s.cleared.at[from]
	if begin > end {
		begin = 0 // a program of the same name, but another one
	}
	size := int(end - begin)
	return file{size, data[max(0, len(data)-size):]}
}

func (s *Server) clear(from source) {
	_, end := s.Logs.Bytes(from.program, from.stream)
	s.Logs.Clear(from.program, from.stream)
	s.cleared.mu.Lock()
	defer s.cleared.mu.Unlock()
	if s.cleared.at == nil {
		s.cleared.at = map[source]uint64{}
	}
	s.cleared.at[from] = end
}

// part is what is kept of the bytes from one offset to another.
func (f file) part(from, to int) []byte {
	lost := f.size - len(f.kept)
	from, to = min(max(from-lost, 0), len(f.kept)), min(max(to-lost, 0), len(f.kept))
	return f.kept[from:max(from, to)]
}

// read is Supervisor's readFile: a negative offset counts from the end, length 0
// means all.
func (f file) read(offset, length int) (any, error) {
	switch {
	case offset < 0 && length != 0, length < 0:
		return nil, faultf(badArguments, "")
	case offset < 0:
		return string(f.part(f.size+offset, f.size)), nil
	case length == 0:
		return string(f.part(offset, f.size)), nil
	}
	return string(f.part(offset, offset+length)), nil
}

// tail is Supervisor's tailFile, step by step: at most length bytes from offset,
// but the last ones where there are more or fewer; then the offset to go on from,
// and whether there were more.
func (f file) tail(offset, length int) any {
	overflow := f.size > offset+length
	if overflow {
		offset = f.size - 1
	}
	if offset+length > f.size {
		if offset >= f.size {
			length = 0
		}
		offset = f.size - length
	}
	offset, length = max(offset, 0), max(length, 0)
	return []any{string(f.part(offset, offset+length)), f.size, overflow}
}

// source finds a stream of a process that can be read. The fault is BAD_NAME or
// NO_FILE.
func (s *Server) source(spec string, stream logs.Stream) (source, error) {
	p, err := s.find(spec)
	if err != nil {
		return source{}, err
	}
	if p.Config.Policy.Logging.To == config.LogInherit {
		return source{}, faultf(noFile, "%s writes to sidekick's own stdout and stderr", spec)
	}
	return source{p.name, stream}, nil
}

var span = []param{offset, length}

var logMethods = map[string]method{
	"supervisor.readLog": {"string", span, "Return a part of sidekick's own messages.",
		func(s *Server, _ context.Context, args []any) (any, error) {
			return s.file(ownMessages).read(args[0].(int), args[1].(int))
		}},
	"supervisor.clearLog": {"boolean", nil, "Forget sidekick's own messages.",
		func(s *Server, _ context.Context, _ []any) (any, error) {
			s.clear(ownMessages)
			return true, nil
		}},
	"supervisor.readProcessStdoutLog": {"string", logParams, "Return a part of what a process wrote to stdout.", read(logs.Stdout)},
	"supervisor.readProcessStderrLog": {"string", logParams, "Return a part of what a process wrote to stderr.", read(logs.Stderr)},
	"supervisor.tailProcessStdoutLog": {"array", logParams, "Return the end of what a process wrote to stdout.", tail(logs.Stdout)},
	"supervisor.tailProcessStderrLog": {"array", logParams, "Return the end of what a process wrote to stderr.", tail(logs.Stderr)},
	"supervisor.clearProcessLogs": {"boolean", []param{namedProcess}, "Forget what a process wrote.",
		func(s *Server, _ context.Context, args []any) (any, error) {
			p, err := s.find(args[0].(string))
			if err != nil {
				return nil, err
			}
			s.clearProcess(p)
			return true, nil
		}},
	"supervisor.clearAllProcessLogs": {"array", nil, "Forget what all processes wrote.",
		func(s *Server, _ context.Context, _ []any) (any, error) {
			results := []any{}
			for _, p := range s.everything() {
				s.clearProcess(p)
				results = append(results, result(p, nil))
			}
			return results, nil
		}},
}

var logParams = []param{namedProcess, offset, length}

func (s *Server) clearProcess(p process) {
	s.clear(source{p.name, logs.Stdout})
	s.clear(source{p.name, logs.Stderr})
}

func read(stream logs.Stream) func(*Server, context.Context, []any) (any, error) {
	return func(s *Server, _ context.Context, args []any) (any, error) {
		from, err := s.source(args[0].(string), stream)
		if err != nil {
			return nil, err
		}
		return s.file(from).read(args[1].(int), args[2].(int))
	}
}

func tail(stream logs.Stream) func(*Server, context.Context, []any) (any, error) {
	return func(s *Server, _ context.Context, args []any) (any, error) {
		from, err := s.source(args[0].(string), stream)
		if f, isFault := err.(*fault); isFault && f.code == noFile {
			return []any{"", 0, false}, nil
		}
		if err != nil {
			return nil, err
		}
		return s.file(from).tail(args[1].(int), args[2].(int)), nil
	}
}
