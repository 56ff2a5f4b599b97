package config

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/quick"
	"time"
)

func TestInterpolate(t *testing.T) {
	env := lookupIn(map[string]string{"A": "1", "EMPTY": "", "DOLLAR": "${A}$$"})
	for in, want := range map[string]string{
		"":                        "",
		"plain":                   "plain",
		"${A}":                    "1",
		"x${A}y${A}":              "x1y1",
		"$A":                      "$A",
		"$":                       "$",
		"$$":                      "$",
		"$$$":                     "$$",
		"$${A}":                   "${A}",
		"$$${A}":                  "$1",
		"100$ {A}":                "100$ {A}",
		"{A}":                     "{A}",
		"${EMPTY}":                "",
		"${NONE:-d}":              "d",
		"${NONE-d}":               "d",
		"${EMPTY:-d}":             "d",
		"${EMPTY-d}":              "",
		"${A:-d}":                 "1",
		"${NONE:-}":               "",
		"${NONE:-a b: c$x}":       "a b: c$x",
		"${NONE:-${A}}":           "1",
		"${NONE:-${X:-${Y:-c}}}z": "cz",
		"${NONE:-$$}":             "$",
		"${A:-${NONE}}":           "1",
		"${A:-${NONE:?gone}}":     "1",
		"${A:?message}":           "1",
		"${EMPTY?message}":        "",
		"${A:+other}":             "other",
		"${EMPTY:+other}":         "",
		"${EMPTY+other}":          "other",
		"${NONE+other}":           "",
		"${NONE:+${X}}":           "",
		"${DOLLAR}":               "${A}$$",
		"ü${A}ü":                  "ü1ü",
	} {
		if got, problems := interpolate(in, env); problems != nil || got != want {
			t.Errorf("%q: got %q, %v, want %q", in, got, problems, want)
		}
	}
}

func TestInterpolateErrors(t *testing.T) {
	env := lookupIn(map[string]string{"A": "1", "EMPTY": ""})
	for in, want := range map[string]string{
		"${NONE}":           "variable NONE is not set: set it or write ${NONE:-default}",
		"${NONE:?}":         "variable NONE is required and not set",
		"${EMPTY:?say it}":  "variable EMPTY is required and not set: say it",
		"${NONE?see ${A}}":  "variable NONE is required and not set: see 1",
		"${NONE:-${OTHER}}": "variable OTHER is not set: set it or write ${OTHER:-default}",
		"${A:+${OTHER}}":    "variable OTHER is not set: set it or write ${OTHER:-default}",
		"${":                "${ must be followed by the name of a variable: write $${ for the characters themselves",
		"${}":               "${ must be followed by the name of a variable: write $${ for the characters themselves",
		"${1}":              "${ must be followed by the name of a variable: write $${ for the characters themselves",
		"${A":               "${A must be followed by }, :- or :?: write $${ for the characters themselves",
		"${A:":              "${A must be followed by }, :- or :?: write $${ for the characters themselves",
		"${A%x}":            "${A must be followed by }, :- or :?: write $${ for the characters themselves",
		"${A:-x":            "${ is not closed: add } or write $${ for the characters themselves",
		"${X} ${Y?} ${X}":   "variable X is not set: set it or write ${X:-default} variable Y is required and not set",
		"${X} ${1}":         "variable X is not set: set it or write ${X:-default} ${ must be followed by the name of a variable: write $${ for the characters themselves",
		"${A:-${B}":         "${ is not closed: add } or write $${ for the characters themselves",
	} {
		if got, problems := interpolate(in, env); fmt.Sprint(problems) != "["+want+"]" {
			t.Errorf("%q: got %q, %v, want error %q", in, got, problems, want)
		}
	}
}

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                     nil,
		" \t\n":                nil,
		"a":                    {"a"},
		" a  b\tc\nd ":         {"a", "b", "c", "d"},
		"a'b c'd":              {"ab cd"},
		`a"b c"d`:              {"ab cd"},
		`'' ""`:                {"", ""},
		`'a\nb'`:               {`a\nb`},
		`'"' "'"`:              {`"`, "'"},
		`a\ b`:                 {"a b"},
		`\'\"\\`:               {`'"\`},
		`"\$ \" \\ \n \'"`:     {"$ \" \\ \\n \\'"},
		"a\\\nb":               {"ab"},
		"a \\\n b":             {"a", "b"},
		"\"a\\\nb\"":           {"ab"},
		"echo # no comment":    {"echo", "#", "no", "comment"},
		"a | b && c > d; $E *": {"a", "|", "b", "&&", "c", ">", "d;", "$E", "*"},
		"grüße 'wörld'":        {"grüße", "wörld"},
	} {
		if got, err := SplitWords(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: got %q, %v, want %q", in, got, err, want)
		}
	}
	for in, want := range map[string]string{
		"a 'b":   "a ' is not closed",
		`a "b`:   `a " is not closed`,
		`a "b\"`: `a " is not closed`,
		`a \`:    "nothing follows the last backslash",
	} {
		if got, err := SplitWords(in); err == nil || err.Error() != want {
			t.Errorf("%q: got %q, %v, want error %q", in, got, err, want)
		}
	}
}

// TestSplitWordsOfQuoted wants every word to survive quoting.
func TestSplitWordsOfQuoted(t *testing.T) {
	survives := func(words []string) bool {
		var quoted []string
		for _, w := range words {
			quoted = append(quoted, "'"+strings.ReplaceAll(w, "'", `'\''`)+"'")
		}
		got, err := SplitWords(strings.Join(quoted, " "))
		return err == nil && slices.Equal(got, words)
	}
	if err := quick.Check(survives, nil); err != nil {
		t.Error(err)
	}
}

func TestParseDuration(t *testing.T) {
	for in, want := range map[string]time.Duration{"5s": 5 * time.Second, "1h30m": 90 * time.Minute, "0": 0, "8760h": maxDuration} {
		if got, err := ParseDuration(in, 0); err != nil || got != want {
			t.Errorf("%q: got %s, %v, want %s", in, got, err, want)
		}
	}
	for _, in := range []string{"", "5", "5 s", "-1s", "1d", "8761h", "s", "NaNs"} {
		if got, err := ParseDuration(in, 0); err == nil {
			t.Errorf("%q: got %s, want an error", in, got)
		}
	}
}

func TestParseSignal(t *testing.T) {
	for in, want := range map[string]int{
		"TERM": 15, "SIGTERM": 15, "sigusr1": 10, "KILL": 9, "1": 1, "64": 64,
		"RTMIN": 34, "SIGRTMIN+3": 37, "rtmin+30": 64, "RTMAX": 64, "RTMAX-1": 63,
	} {
		if got, err := ParseSignal(in); err != nil || int(got) != want {
			t.Errorf("%q: got %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"", "SIG", "FOO", "0", "65", "-1", "RTMIN-1", "RTMIN+31", "RTMAX+1", "RTMIN3", "RTMIN+", "SIGSIGTERM"} {
		if got, err := ParseSignal(in); err == nil {
			t.Errorf("%q: got %d, want an error", in, got)
		}
	}
}

func TestDidYouMean(t *testing.T) {
	candidates := []string{"command", "restart", "register", "working_dir", "environment", "essential", "user", "tcp", "http"}
	for word, want := range map[string]string{
		"comand": "command", "commnad": "command", "Command": "command", "workingDir": "working_dir",
		"working-dir": "working_dir", "regsiter": "register", "htp": "http", "enviroment": "environment",
		"xyz": "", "directory": "", "": "", strings.Repeat("command", 100): "",
	} {
		if got := nearest(word, candidates); got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}
