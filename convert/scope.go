package convert

import "errors"

// scope reads the options of one section.
type scope struct {
	*converter
	section *section
	resolve func(string) (any, error)
}

// get returns an option's value with its names expanded. given is nil where the
// option is not there or is wrong, which is a problem then.
func (s *scope) get(name string) (value string, given *option) {
	o := s.ini.option(s.section, name)
	if o == nil {
		return "", nil
	}
	value, err := expand(o.value, s.resolve)
	if err != nil {
		o.done()
		s.problem(o.problem("%s", err))
		return "", nil
	}
	return value, o
}

// read returns the option's parsed value, or absent. A value that is known at
// run time only is absent, too, and a Note says so.
func read[T any](s *scope, name string, absent T, parse func(string) (T, error)) (T, *option) {
	value, o := s.get(name)
	if o == nil {
		return absent, nil
	}
	if hasMark(value) {
		s.note(s.section, o, "known at run time only: write the value out; until then supervisord's default is taken")
		return absent, nil
	}
	got, err := parse(value)
	if err != nil {
		o.done()
		s.problem(o.problem("%s", err))
		return absent, nil
	}
	return got, o
}

// number is a whole number, or text that gives one at run time.
type number struct {
	known int
	mark  string // "" if it is known
	given *option
}

// number reads a whole number. A variable in it is remembered to stand for one.
func (s *scope) number(name string, absent int) number {
	value, o := s.get(name)
	if o == nil {
		return number{known: absent}
	}
	if hasMark(value) {
		s.sample(value, "1")
		return number{known: absent, mark: strip(value), given: o}
	}
	n, err := integer(value)
	if err != nil {
		o.done()
		s.problem(o.problem("%s", err))
		return number{known: absent}
	}
	return number{known: n, given: o}
}

// sample remembers what could stand for the variables of a value.
func (c *converter) sample(value, fits string) {
	for _, r := range value {
		if r >= firstMark {
			if name := c.names.marks[r-firstMark]; name != replicaVariable {
				c.samples[name] = fits
			}
		}
	}
}

// expandTwice is what supervisor does to log files and to the environment of
// [supervisord].
func (s *scope) expandTwice(name string, first, second func(string) (any, error)) (string, *option) {
	o := s.ini.option(s.section, name)
	if o == nil {
		return "", nil
	}
	value, err := expand(o.value, first)
	if err == nil {
		value, err = expand(value, second)
	}
	if err == nil {
		return value, o
	}
	o.done()
	if errors.Is(err, errNotSequence) {
		return "", nil // the copies are read one by one then
	}
	s.problem(o.problem("%s", err))
	return "", nil
}
