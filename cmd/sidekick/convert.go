package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"sidekick/convert"
)

func newConvertCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "convert FILE",
		Short: "Turn a supervisord.conf into sidekick's YAML",
		Long: `Turn a supervisord.conf, with the files it includes, into sidekick's YAML on stdout.
FILE is read as supervisor 4.2.5 reads it; - is stdin. What has no equivalent is listed
on stderr with its line and the reason, and comments in the YAML say what changed.

%(ENV_X)s becomes ${X}: it is still read when the container starts. Convert the file
where it will live, for %(here)s becomes the name of its folder.

Exit code 0: converted, also where something is listed; 1: it could not be.`,
		Example: `  sidekick convert /etc/supervisor/supervisord.conf >sidekick.yaml
  sidekick check -c sidekick.yaml`,
		Args: exactlyOne,
		RunE: func(c *cobra.Command, args []string) error {
			result, err := convert.File(args[0], c.InOrStdin(), os.LookupEnv)
			if err != nil {
				return convertError(args[0], err)
			}
			for _, n := range result.Notes {
				fmt.Fprintln(c.ErrOrStderr(), n)
			}
			fmt.Fprintf(c.ErrOrStderr(), "%s: converted, %d program(s), %d note(s)\n", args[0], result.Programs, len(result.Notes))
			_, err = c.OutOrStdout().Write(result.YAML)
			return err
		},
	}
}

func convertError(file string, err error) error {
	problems, ok := errors.AsType[convert.Problems](err)
	if !ok {
		return &exitError{code: exitFailed, err: fmt.Errorf("cannot convert %s: %w", file, err), hint: "sidekick convert /etc/supervisor/supervisord.conf, or - for stdin"}
	}
	for _, p := range problems {
		fmt.Fprintln(os.Stderr, p)
	}
	return &exitError{code: exitFailed, err: fmt.Errorf("cannot convert %s: %d problem(s)", file, len(problems)),
		hint: "mend the lines above; supervisord itself refuses most of them"}
}
