package main

import "os"

// output is the stdout of a command. It keeps the first failure of a write: who
// did not get the whole answer has to see that in the exit code.
type output struct {
	file   *os.File
	failed error
}

func (o *output) Write(b []byte) (int, error) {
	n, err := o.file.Write(b)
	if o.failed == nil {
		o.failed = err
	}
	return n, err
}
