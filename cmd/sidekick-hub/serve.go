package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"

	"github.com/spf13/cobra"

	"sidekick/hub"
	"sidekick/hub/embed"
)

func newServeCommand() *cobra.Command {
	var data string
	var urls []string
	command := &cobra.Command{
		Use:   "serve",
		Short: "Run an etcd for this machine and show the services in it",
		Long: `Run a one-member etcd for this machine and show the services in it, live.

Only this machine reaches the default URL. Containers need an address that they
can dial, such as that of Docker's bridge: name both, separated by a comma.
There is no password and no TLS: listen only where you trust everybody.

Without --data everything is forgotten at the end.`,
		Example: "  sidekick-hub serve\n  sidekick-hub serve --data /var/lib/sidekick-hub --listen-client-urls http://127.0.0.1:2379,http://172.17.0.1:2379",
		Args:    cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			for _, u := range urls {
				if _, err := embed.CheckClientURL(u); err != nil {
					return &exitError{code: exitUsage, err: err, hint: "--listen-client-urls " + embed.DefaultClientURL}
				}
			}
			return serve(c, embed.Options{
				Dir: data, ClientURLs: urls,
				Log: slog.New(slog.NewTextHandler(c.ErrOrStderr(), nil)),
			})
		},
	}
	command.Flags().StringVar(&data, "data", "", "directory that keeps the data (default: a temporary one, removed at the end)")
	command.Flags().StringSliceVar(&urls, "listen-client-urls", []string{embed.DefaultClientURL}, "URLs to take clients on, separated by commas; port 0 takes a free one")
	return command
}

// serve runs etcd until the command is stopped, which is success, or etcd ends.
func serve(c *cobra.Command, o embed.Options) (err error) {
	server, err := embed.Start(c.Context(), o)
	if c.Context().Err() != nil && errors.Is(err, context.Canceled) {
		return nil // stopped while starting
	}
	if err != nil {
		return &exitError{code: exitFailed, err: err, hint: serveHint(err)}
	}
	defer func() {
		if closeErr := server.Close(); closeErr != nil && err == nil {
			err = &exitError{code: exitFailed, err: closeErr}
		}
	}()
	greet(c, server)
	return show(c, server)
}

// greet says where etcd is.
func greet(c *cobra.Command, server *embed.Server) {
	kept := "kept in " + server.Dir()
	if server.Temporary() {
		kept = "not kept: it is in " + server.Dir() + ", which is removed at the end; --data DIR keeps it"
	}
	fmt.Fprintf(c.ErrOrStderr(), "etcd is ready at %s\nits data is %s\n", strings.Join(server.Endpoints(), ", "), kept)
}

// show prints the services of server until the command or the server ends.
func show(c *cobra.Command, server *embed.Server) error {
	ctx, cancel := context.WithCancel(c.Context())
	c.SetContext(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { // ends with the server or with this function
		select {
		case <-server.Done():
			cancel()
		case <-ctx.Done():
		}
	})
	client, err := hub.Dial(server.Endpoints()[:1])
	if err != nil {
		return &exitError{code: exitFailed, err: err}
	}
	defer client.Close()
	v := &view{command: c, paint: paintFor(c), where: "etcd"}
	if err := v.follow(client); err != nil {
		return err
	}
	if err := server.Err(); err != nil {
		return &exitError{code: exitFailed, err: err, hint: "look at the messages above, then start it again"}
	}
	return nil
}

// serveHint says what to do about a failed start.
func serveHint(err error) string {
	switch {
	case errors.Is(err, embed.ErrAddressInUse):
		return "another etcd may be running there already (`sidekick-hub services` looks); --listen-client-urls http://127.0.0.1:PORT takes another port"
	case errors.Is(err, embed.ErrDirInUse):
		return "stop the other one, or name another directory with --data"
	case errors.Is(err, embed.ErrDirContent):
		return "run the version that wrote it, or name an empty directory with --data"
	case errors.Is(err, embed.ErrNotReady):
		return "the directory may belong to a cluster of several members; name another with --data"
	case errors.Is(err, embed.ErrDir):
		return "name a directory that this user may write with --data"
	}
	return "--listen-client-urls with an address of this machine"
}
