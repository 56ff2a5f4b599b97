package convert

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"sidekick/config"
)

// The grammars of supervisor's datatypes.py.

// integer is int() of Python: blanks around it and underscores in it do not count.
func integer(s string) (int, error) {
	text := strip(s)
	n, err := strconv.Atoi(strings.ReplaceAll(text, "_", ""))
	digits := strings.TrimLeft(text, "+-")
	if err != nil || strings.HasPrefix(digits, "_") || strings.HasSuffix(digits, "_") || strings.Contains(digits, "__") {
		return 0, fmt.Errorf("%s is not a whole number", quote(s))
	}
	return n, nil
}

var (
	truthy = []string{"yes", "true", "on", "1"}
	falsy  = []string{"no", "false", "off", "0"}
)

func boolean(s string) (bool, error) {
	switch word := strings.ToLower(s); {
	case slices.Contains(truthy, word):
		return true, nil
	case slices.Contains(falsy, word):
		return false, nil
	}
	return false, fmt.Errorf("%s is not true or false", quote(s))
}

// restartWhen is a value of autorestart.
type restartWhen string

const (
	restartNever      restartWhen = "false"
	restartUnexpected restartWhen = "unexpected"
	restartAlways     restartWhen = "true"
)

func autorestart(s string) (restartWhen, error) {
	if strings.ToLower(s) == string(restartUnexpected) {
		return restartUnexpected, nil
	}
	b, err := boolean(s)
	switch {
	case err != nil:
		return "", fmt.Errorf("%s is not true, false or unexpected", quote(s))
	case b:
		return restartAlways, nil
	}
	return restartNever, nil
}

func exitCodes(s string) ([]int, error) {
	if s == "" {
		return nil, nil
	}
	var codes []int
	for word := range strings.SplitSeq(s, ",") {
		n, err := integer(word)
		if err != nil || n < 0 || n > 255 {
			return nil, fmt.Errorf("%s is not a list of exit codes from 0 to 255", quote(s))
		}
		codes = append(codes, n)
	}
	return codes, nil
}

// byteSize reads 50MB, 512kb, 1GB or a number; the units are powers of 1024.
func byteSize(s string) (int64, error) {
	text, unit := strings.ToLower(s), int64(1)
	suffix := text[max(len(text)-2, 0):]
	if size, known := map[string]int64{"kb": 1 << 10, "mb": 1 << 20, "gb": 1 << 30}[suffix]; known {
		text, unit = strings.TrimSuffix(text, suffix), size
	}
	n, err := integer(text)
	if err != nil || n > 1<<31 || n < 0 && unit > 1 {
		return 0, fmt.Errorf("%s is not a size like 50MB", quote(s))
	}
	return max(int64(n), 0) * unit, nil
}

func stopSignal(s string) (syscall.Signal, error) {
	sig, err := config.ParseSignal(strip(s))
	if err != nil {
		return 0, fmt.Errorf("%s is not a signal", quote(s))
	}
	return sig, nil
}

func octal(s string) (int, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(strip(s), "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%s is not an octal mode from 0 to 0777", quote(s))
	}
	return int(n), nil
}

// listOfStrings splits at commas.
func listOfStrings(s string) []string {
	if s == "" {
		return nil
	}
	var words []string
	for word := range strings.SplitSeq(s, ",") {
		words = append(words, strip(word))
	}
	return words
}

// processName is what supervisor takes as the name of a process or group.
func processName(s string) (string, error) {
	name := strip(s)
	if strings.ContainsAny(name, " :/") {
		return "", errors.New(quote(s) + " is not a name: it must not contain a blank, : or /")
	}
	return name, nil
}
