// Command app is the application that the end-to-end tests put under sidekick:
// an HTTP server that says when it began, first answered and was told to stop,
// and what it finds in etcd at its beginning and its end.
package main

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sys/unix"

	clientv3 "go.etcd.io/etcd/client/v3"
)

func main() {
	listen := flag.String("listen", ":8000", "address to listen on")
	etcd := flag.String("etcd", "", "etcd to look into at SIGTERM, and before the start")
	prefix := flag.String("prefix", "/service/", "keys to look for")
	refuse := flag.Int64("refuse", 0, "answer 503 to so many requests first")
	delay := flag.Duration("delay", 0, "listen only after this time")
	flag.Parse()

	stamp("BEGAN")
	term := make(chan os.Signal, 1)
	signal.Notify(term, unix.SIGTERM)
	if *etcd != "" {
		fmt.Println("START finds", keys(*etcd, *prefix))
	}
	time.Sleep(*delay)
	go serve(*listen, *refuse) // ends with the process
	<-term
	stamp("TERM")
	if *etcd != "" {
		fmt.Println("TERM finds", keys(*etcd, *prefix))
	}
	fmt.Println("bye")
}

// stamp says when something happened, in microseconds of the clock that all
// processes of this machine share.
func stamp(what string) { fmt.Println(what, time.Now().UnixMicro()) }

func serve(listen string, refuse int64) {
	var requests atomic.Int64
	var first sync.Once
	hostname, _ := os.Hostname()
	err := http.ListenAndServe(listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if requests.Add(1) <= refuse {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		first.Do(func() { stamp("ANSWERS") })
		fmt.Fprintln(w, "hello from", hostname)
	}))
	fmt.Println(err)
	os.Exit(1)
}

// keys lists what is below the prefix, or says why it cannot.
func keys(etcd, prefix string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
	defer cancel()
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{etcd}, Logger: zap.NewNop()})
	if err != nil {
		return err.Error()
	}
	defer client.Close()
	answer, err := client.Get(ctx, prefix, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	if err != nil {
		return err.Error()
	}
	var found []string
	for _, kv := range answer.Kvs {
		found = append(found, string(kv.Key))
	}
	return fmt.Sprintf("%d keys %s", len(found), strings.Join(found, " "))
}
