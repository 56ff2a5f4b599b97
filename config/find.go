package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// EnvFile is the environment variable that names the configuration file.
const EnvFile = "SIDEKICK_CONFIG"

// Find returns the file to use: explicit if it is not empty, else the one
// that $SIDEKICK_CONFIG names, else the first that exists of
// /etc/sidekick.yaml and ./sidekick.yaml. A file that was named is returned
// even if it does not exist: Load then says so. The error of Find says where
// it looked. lookup is os.LookupEnv or like it.
func Find(explicit string, lookup func(string) (string, bool)) (string, error) {
	return find(explicit, lookup, []string{"/etc/sidekick.yaml", "./sidekick.yaml"})
}

func find(explicit string, lookup func(string) (string, bool), usual []string) (string, error) {
	if explicit != "" {
		return explicit, nil
	}
	if named, _ := lookup(EnvFile); named != "" {
		return named, nil
	}
	for _, path := range usual {
		// A file that is there but cannot be examined is the one that is
		// meant: skipping it would start something else.
		if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
			return path, nil
		}
	}
	return "", fmt.Errorf("cannot find a configuration file: -c is not given, $%s is not set, and there is no %s",
		EnvFile, strings.Join(usual, " or "))
}
