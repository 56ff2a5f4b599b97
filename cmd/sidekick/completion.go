package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"sidekick/control"
	"sidekick/supervisor"
)

func newCompletionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "completion bash|zsh|fish",
		Short: "Print the completion script of a shell",
		Long: `Print the script that completes commands, flags, signals and, where a sidekick
answers, the names of programs. That of bash needs the package bash-completion.

Exit code 0: done; 2: wrong usage.`,
		Example: `  source <(sidekick completion bash)                                    # this shell
  sidekick completion bash > /etc/bash_completion.d/sidekick            # all shells
  sidekick completion zsh > "${fpath[1]}/_sidekick"
  sidekick completion fish > ~/.config/fish/completions/sidekick.fish`,
		Args:      cobra.MatchAll(exactlyOne, cobra.OnlyValidArgs),
		ValidArgs: []string{"bash", "zsh", "fish"},
		RunE: func(c *cobra.Command, args []string) error {
			root, out := c.Root(), c.OutOrStdout()
			switch args[0] {
			case "bash":
				return root.GenBashCompletionV2(out, true)
			case "zsh":
				return root.GenZshCompletion(out)
			}
			return root.GenFishCompletion(out, true)
		},
	}
}

type completion = func(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// addCompletion says what completes the arguments and flags of all commands.
// Files do only where a file is meant.
func addCompletion(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	for _, c := range root.Commands() {
		switch {
		case c.Name() == "signal":
			c.ValidArgsFunction = completeSignal
		case strings.Contains(c.Use, "NAME…"):
			c.ValidArgsFunction = completePrograms
		case c.Name() == "run", c.Name() == "convert":
			c.ValidArgsFunction = completeFiles
		}
		c.Flags().VisitAll(func(f *pflag.Flag) {
			if complete := ofFlag(f); complete != nil {
				_ = c.RegisterFlagCompletionFunc(f.Name, complete) // an error: it has one already
			}
		})
	}
}

// ofFlag is what completes the values of a flag, nil for nothing.
func ofFlag(f *pflag.Flag) completion {
	switch f.Name {
	case "config", "socket", "docker":
		return completeFiles
	case "output":
		return cobra.FixedCompletions(choices(f.Usage), cobra.ShellCompDirectiveNoFileComp)
	case "log-format":
		return cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp)
	case "stream":
		return cobra.FixedCompletions([]string{"stdout", "stderr"}, cobra.ShellCompDirectiveNoFileComp)
	case "check":
		return cobra.FixedCompletions([]string{"tcp", "http", "http:/"}, cobra.ShellCompDirectiveNoFileComp|cobra.ShellCompDirectiveNoSpace)
	}
	return nil
}

// choices are the words of a usage such as "table, wide or json".
func choices(usage string) []string {
	return strings.Split(strings.ReplaceAll(usage, " or ", ", "), ", ")
}

func completeFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// completionTimeout bounds what a press of TAB may take.
const completionTimeout = 500 * time.Millisecond

// completePrograms offers the programs that are not named yet, with what they
// do, and `all` where the command takes it. It says nothing where nobody answers.
func completePrograms(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	ctx, cancel := context.WithTimeout(context.Background(), completionTimeout)
	defer cancel()
	var names []string
	add := func(name, what string) {
		if strings.HasPrefix(name, word) && !slices.Contains(args, name) {
			names = append(names, cobra.CompletionWithDesc(name, what))
		}
	}
	socket, _ := c.Flags().GetString("socket")
	programs := answered(ctx, socket)
	for i, p := range programs {
		if p.Group != p.Name && (i == 0 || programs[i-1].Group != p.Group) {
			add(p.Group, "all its copies")
		}
		add(p.Name, strings.TrimSpace(p.State+" "+p.Reason))
	}
	if len(programs) > 0 && len(args) == 0 && strings.Contains(c.Use, "|all") {
		add("all", "every program")
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}

// answered are the programs of the sidekick that answers in time, or nothing.
func answered(ctx context.Context, socket string) []control.Program {
	answer := make(chan []control.Program, 1)
	go func() { // ends within the timeouts of Dial and of a request, or with the process
		client, err := control.Dial(control.Candidates(socket, os.LookupEnv))
		if err != nil {
			answer <- nil
			return
		}
		programs, _ := client.Programs(ctx, false)
		answer <- programs
	}()
	select {
	case programs := <-answer:
		return programs
	case <-ctx.Done():
		return nil
	}
}

// completeSignal offers signals, then programs.
func completeSignal(c *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return completePrograms(c, args[1:], word)
	}
	var names []string
	for sig := syscall.Signal(1); sig < 32; sig++ {
		name := supervisor.SignalName(sig)
		if !strings.HasPrefix(strings.ToUpper(word), "SIG") {
			name = strings.TrimPrefix(name, "SIG")
		}
		if strings.HasPrefix(name, strings.ToUpper(word)) {
			names = append(names, cobra.CompletionWithDesc(name, fmt.Sprint(int(sig))))
		}
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
