package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"
	clientv3 "go.etcd.io/etcd/client/v3"

	"sidekick/hub"
)

// view prints the services of one etcd as they change. It belongs to the
// goroutine of follow.
type view struct {
	command *cobra.Command
	json    bool // one object a line
	paint   hub.Paint
	where   string // the etcd's URLs, for messages
	failed  error  // the first error of writing; it ends follow
	stop    context.CancelFunc
}

// follow prints until the command is stopped, which is success, or nobody
// reads any more.
func (v *view) follow(client *clientv3.Client) error {
	ctx, stop := context.WithCancel(v.command.Context())
	defer stop()
	v.stop = stop
	_ = hub.Watch(ctx, client, hub.Observer{ // it ends with ctx only
		Listed:  func(s []hub.Service) { v.listed(ctx, client, s) },
		Changed: v.changed,
		Trouble: v.trouble,
	})
	return writeFailed(v.failed)
}

// listed prints the first listing, with the leases where etcd tells them.
func (v *view) listed(ctx context.Context, client *clientv3.Client, services []hub.Service) {
	if v.json {
		now := time.Now()
		for _, s := range services {
			v.changed(hub.Change{Kind: hub.Present, Service: s, Time: now})
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	_ = hub.ReadTTLs(ctx, client, services) // the table is worth showing without

	v.check(hub.WriteTable(v.command.OutOrStdout(), services))
}

func (v *view) changed(c hub.Change) {
	if v.json {
		v.check(hub.WriteJSONLine(v.command.OutOrStdout(), c))
		return
	}
	_, err := fmt.Fprintln(v.command.OutOrStdout(), hub.ChangeLine(c, v.paint))
	v.check(err)
}

// trouble is told on stderr: it is no service.
func (v *view) trouble(err error) {
	if err == nil {
		fmt.Fprintf(v.command.ErrOrStderr(), "%s answers again\n", v.where)
		return
	}
	fmt.Fprintf(v.command.ErrOrStderr(), "%v; trying again\n", err)
}

func (v *view) check(err error) {
	if err != nil && v.failed == nil {
		v.failed = err
		v.stop()
	}
}
