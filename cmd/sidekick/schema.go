package main

import (
	"github.com/spf13/cobra"

	"sidekick/config"
)

func newSchemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of the configuration file",
		Long: `Print the JSON Schema (2020-12) of the configuration file, for editors: they
complete keys, explain them, and underline what is wrong. It is looser than
sidekick check, which also compares keys and resolves variables.

Save it beside the file and name it in the file's first line; editors that use
yaml-language-server (VS Code with the YAML extension, Neovim, Emacs, …) read it.

Exit code 0: done; 2: wrong usage.`,
		Example: `  sidekick schema > sidekick.schema.json
  sed -i '1i # yaml-language-server: $schema=sidekick.schema.json' sidekick.yaml`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			_, err := c.OutOrStdout().Write(config.Schema())
			return err
		},
	}
}
