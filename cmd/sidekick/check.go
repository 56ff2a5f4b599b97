package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"sidekick/config"
)

func newCheckCommand() *cobra.Command {
	var file string
	command := &cobra.Command{
		Use:   "check [-c FILE]",
		Short: "Check a configuration file and list every problem",
		Long: `Check a configuration file and list every problem with its line and column.
Exit code 0: it can be used; 78: it cannot.`,
		Example: "  sidekick check -c sidekick.yaml",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			path, loaded, err := load(file)
			if err != nil {
				return err
			}
			for _, warning := range config.Warnings(loaded) {
				fmt.Fprintf(c.ErrOrStderr(), "%s: warning: %s\n", path, warning)
			}
			fmt.Fprintf(c.OutOrStdout(), "%s: ok, %d program(s)\n", path, len(loaded.Programs))
			return nil
		},
	}
	configFlag(command, &file)
	return command
}

func configFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "config", "c", "", "configuration file (default $SIDEKICK_CONFIG, /etc/sidekick.yaml, ./sidekick.yaml)")
}
