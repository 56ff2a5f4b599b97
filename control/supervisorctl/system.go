package supervisorctl

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// systemMethods are about the others.
var systemMethods = map[string]method{
	"system.listMethods": {"array", nil, "Return the names of all methods.",
		func(s *Server, _ context.Context, _ []any) (any, error) {
			return strs(slices.Sorted(maps.Keys(s.methods))), nil
		}},
	"system.methodHelp": {"string", []param{namedProcess}, "Return the help of a method.",
		func(s *Server, _ context.Context, args []any) (any, error) {
			m, ok := s.methods[args[0].(string)]
			if !ok {
				return nil, faultf(signatureUnsupported, "")
			}
			return m.describe(), nil
		}},
	"system.methodSignature": {"array", []param{namedProcess}, "Return the types of a method: of its result, then of its parameters.",
		func(s *Server, _ context.Context, args []any) (any, error) {
			m, ok := s.methods[args[0].(string)]
			if !ok {
				return nil, faultf(signatureUnsupported, "")
			}
			types := []any{m.result}
			for _, p := range m.params {
				types = append(types, p.kind)
			}
			return types, nil
		}},
	"system.multicall": {"array", []param{{"calls", "array", nil}}, "Make several calls, one after another.",
		func(s *Server, ctx context.Context, args []any) (any, error) {
			return s.multicall(ctx, args[0].([]any))
		}},
}

// describe is Supervisor's form of a help text.
func (m method) describe() string {
	var b strings.Builder
	b.WriteString(m.help + "\n\n")
	for _, p := range m.params {
		fmt.Fprintf(&b, "@param %s %s\n", p.kind, p.name)
	}
	fmt.Fprintf(&b, "@return %s result\n", m.result)
	return b.String()
}

// multicall makes the calls one after another. Each result is a value, or a
// struct with faultCode and faultString.
func (s *Server) multicall(ctx context.Context, calls []any) (any, error) {
	results, size := []any{}, 0
	for _, one := range calls {
		v, err := s.oneOfMany(ctx, one)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			v = asFault(err).structure()
		}
		var b bytes.Buffer
		encodeValue(&b, v)
		if size += b.Len(); size > maxAnswer {
			return nil, faultf(failed, "the answer is too large: make fewer calls at once")
		}
		results = append(results, encoded(b.Bytes()))
	}
	return results, nil
}

func (s *Server) oneOfMany(ctx context.Context, one any) (any, error) {
	fields, _ := one.(map[string]any)
	method, _ := fields["methodName"].(string)
	args, _ := fields["params"].([]any)
	switch method {
	case "":
		return nil, faultf(incorrectParameters, "No methodName")
	case "system.multicall":
		return nil, faultf(incorrectParameters, "Recursive system.multicall forbidden")
	}
	return s.call(ctx, call{method, args})
}
