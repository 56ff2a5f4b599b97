package main

import (
	"errors"
	"fmt"
	"os"

	"sidekick/config"
)

// load finds and reads the configuration. The error has exit code 78.
func load(explicit string) (path string, c *config.Config, err error) {
	path, err = config.Find(explicit, os.LookupEnv)
	if err != nil {
		return "", nil, &exitError{code: exitConfig, err: err, hint: "name it: -c FILE"}
	}
	c, err = config.Load(path, os.LookupEnv)
	if problems, ok := errors.AsType[config.Problems](err); ok {
		printProblems(os.Stderr, problems, wantsColour(os.Stderr))
		err = fmt.Errorf("cannot use %s: %d problem(s), nothing was started", path, len(problems))
		return path, nil, &exitError{code: exitConfig, err: err, hint: "mend the lines above"}
	}
	if err != nil {
		here, _ := os.Getwd()
		return path, nil, &exitError{code: exitConfig, err: err, hint: "name a file that can be read: -c FILE, or SIDEKICK_CONFIG=FILE; relative paths start at " + here}
	}
	return path, c, nil
}
