package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"sidekick/config"
	"sidekick/supervisor/child"
)

func newCheckCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "check [-c FILE]",
		Short: "Check a configuration file and list every problem",
		Long: `Check a configuration file and list every problem: FILE:LINE:COLUMN: path: what is
wrong, then the line with a caret under the column. Nothing is started.

Warnings are about what may be wanted, or depends on this machine: a command that
cannot be found here, a missing file or user, a word that only a shell would understand,
and a shutdown_timeout that is too short for registry.drain and the longest chain
of programs that stop one after the other.

Exit code 0: it can be used; 78: it cannot.`,
		Example: `  sidekick check
  sidekick check -c sidekick.yaml
  docker run --rm --entrypoint sidekick IMAGE check`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			path, loaded, err := load(file)
			if err != nil {
				return err
			}
			for _, warning := range append(config.Warnings(loaded), missingUsers(loaded)...) {
				fmt.Fprintf(c.ErrOrStderr(), "%s: warning: %s\n", path, warning)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: ok, %d program(s)\n", path, len(loaded.Programs))
			return nil
		},
	}
	configFlag(command, &file)
	return command
}

// missingUsers warns of users and groups that this machine, which may not be the
// image, does not have.
func missingUsers(c *config.Config) []string {
	var all []string
	for i := range c.Programs {
		p := &c.Programs[i]
		if p.Launch.User == "" {
			continue
		}
		_, err := child.LookupUser(p.Launch.User, p.Launch.Group)
		if warning := fmt.Sprintf("programs.%s.user: %v", p.Group, err); err != nil && !slices.Contains(all, warning) {
			all = append(all, warning) // once for all copies
		}
	}
	return all
}

func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "", "configuration file (default $SIDEKICK_CONFIG, /etc/sidekick.yaml, ./sidekick.yaml)")
}
