// Command app is the application of the quick start: a web page that counts
// its visitors, and the store that keeps the count. The two are modes of one
// binary, so an image needs one file; they run as two programs.
//
//	app store --listen 127.0.0.1:8001
//	app web   --listen 127.0.0.1:8000 --store http://127.0.0.1:8001
//
// It knows nothing of sidekick or etcd. It does what any server should do:
// answer, say whether it is well, and end in order on SIGTERM.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	log.SetFlags(0) // sidekick's log and the page's reader know the time
	if err := run(os.Args[1:]); err != nil {
		log.Fatal("error: ", err)
	}
}

// run is one mode of the application, until SIGTERM or SIGINT.
func run(args []string) error {
	if len(args) == 0 {
		return errors.New("cannot start: say `web` or `store`")
	}
	mode := args[0]
	flags := flag.NewFlagSet("app "+mode, flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:8000", "address to listen on")
	storeURL := flags.String("store", "http://127.0.0.1:8001", "where the store is (web only)")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch mode {
	case "web":
		return serve(*listen, newWeb(*storeURL))
	case "store":
		return serve(*listen, newStore())
	}
	return fmt.Errorf("cannot start %q: say `web` or `store`", mode)
}

// serve answers until SIGTERM or SIGINT, then finishes what is open.
func serve(address string, handler http.Handler) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return fmt.Errorf("cannot listen: %w", err)
	}
	log.Printf("listening on %s", listener.Addr())
	server := &http.Server{Handler: handler, ReadHeaderTimeout: 5 * time.Second}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }() // ends with Shutdown
	select {
	case err := <-ended:
		return fmt.Errorf("cannot go on serving: %w", err)
	case <-ctx.Done():
	}
	log.Print("told to stop; finishing what is open")
	grace, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	return server.Shutdown(grace)
}
