package config

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strconv"
	"strings"
)

// text makes a reader of a function that parses a string. The error says what
// is wrong with the value.
func text[T any](parse func(string) (T, error)) func(value) (T, bool) {
	return func(v value) (T, bool) {
		var none T
		s, ok := v.scalar()
		if !ok {
			return none, false
		}
		got, err := parse(s)
		if err != nil {
			v.problem("%s", err)
			return none, false
		}
		return got, true
	}
}

// listOf makes a reader of a list of what read reads. One bad item makes the
// list bad, after all of them were read.
func listOf[T any](read func(value) (T, bool)) func(value) ([]T, bool) {
	return func(v value) ([]T, bool) {
		items, ok := v.items()
		list := []T{}
		for _, item := range items {
			got, itemOK := read(item)
			ok = ok && itemOK
			list = append(list, got)
		}
		return list, ok
	}
}

// plainText reads any text that the kernel takes as an argument, a path or an
// environment variable.
func plainText(v value) (string, bool) { return text(noNUL)(v) }

func noNUL(s string) (string, error) {
	if strings.ContainsRune(s, 0) {
		return "", errors.New("must not contain a NUL character")
	}
	return s, nil
}

func boolean(v value) (bool, bool) { return text(parseBool)(v) }

// parseBool knows the words of YAML 1.1 as well, as Compose does.
func parseBool(s string) (bool, error) {
	switch strings.ToLower(s) {
	case "true", "yes", "on":
		return true, nil
	case "false", "no", "off":
		return false, nil
	}
	return false, fmt.Errorf("%s is not true or false", quote(s))
}

// integer makes a reader of whole numbers from least to most.
func integer(least, most int) func(value) (int, bool) {
	return text(func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		if err != nil || n < least || n > most {
			return 0, fmt.Errorf("%s is not a whole number from %d to %d", quote(s), least, most)
		}
		return n, nil
	})
}

// number makes a reader of numbers from least to most.
func number(least, most float64) func(value) (float64, bool) {
	return text(func(s string) (float64, error) {
		n, err := strconv.ParseFloat(s, 64)
		// Written so that NaN is refused, too.
		if err != nil || !(n >= least && n <= most) {
			return 0, fmt.Errorf("%s is not a number from %g to %g", quote(s), least, most)
		}
		return n, nil
	})
}

// oneOf makes a reader of words.
func oneOf[T ~string](words []T) func(value) (T, bool) {
	return text(func(s string) (T, error) {
		if word := T(s); slices.Contains(words, word) {
			return word, nil
		}
		return "", fmt.Errorf("%s is not %s", quote(s), alternatives(words))
	})
}

// alternatives is `a`, `a or b`, `a, b or c`. words is not empty.
func alternatives[T ~string](words []T) string {
	last := string(words[len(words)-1])
	if len(words) == 1 {
		return last
	}
	var others []string
	for _, w := range words[:len(words)-1] {
		others = append(others, string(w))
	}
	return strings.Join(others, ", ") + " or " + last
}

// parseMode reads permission bits in octal, as chmod(1) does: 0600, 600, 0o600.
func parseMode(s string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "0o"), 8, 32)
	if err != nil || n > 0o777 {
		return 0, fmt.Errorf("%s is not a file mode like \"0600\"", quote(s))
	}
	return fs.FileMode(n), nil
}
