package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"sidekick/config"
)

// listen opens a listener that is closed at the end of the test.
func listen(t *testing.T, address string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// listen6 opens a listener on the IPv6 loopback only.
func listen6(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "[::1]:0")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("CI needs an IPv6 loopback: %v", err)
		}
		t.Skipf("this machine has no IPv6 loopback: %v", err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// bare is the ":port" of a listener.
func bare(l net.Listener) string {
	return fmt.Sprintf(":%d", l.Addr().(*net.TCPAddr).Port)
}

// unused returns the ":port" of a port where nobody listens.
func unused(t *testing.T) string {
	l := listen(t, "127.0.0.1:0")
	defer l.Close()
	return bare(l)
}

func tcp(address string) config.Check {
	return config.Check{Kind: config.ProbeTCP, Address: address, Timeout: 3 * time.Second}
}

func get(url string) config.Check {
	return config.Check{Kind: config.ProbeHTTP, URL: url, Timeout: 3 * time.Second}
}

// serve starts an HTTP server on l for the test.
func serve(t *testing.T, l net.Listener, handler http.HandlerFunc) {
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: handler}}
	server.Start()
	t.Cleanup(server.Close)
}

// wantProbe probes and compares the output, and that the error says the same.
func wantProbe(t *testing.T, c config.Check, passes bool, output string) {
	t.Helper()
	got, err := Probe(t.Context(), c)
	if got != output || (err == nil) != passes {
		t.Errorf("%q, %v\nwant %q, passes %t", got, err, output, passes)
	}
	if err != nil && err.Error() != got {
		t.Errorf("output %q and error %q differ", got, err)
	}
}

func TestProbeTCP(t *testing.T) {
	four := listen(t, "127.0.0.1:0")
	six := listen6(t)
	none := unused(t)
	for _, tc := range []struct {
		name    string
		address string
		passes  bool
		output  string
	}{
		{"bare", bare(four), true, "connect " + four.Addr().String() + ": connected"},
		{"bare, IPv6 only", bare(six), true, "connect " + six.Addr().String() + ": connected"},
		{"bare, nobody", none, false, "connect 127.0.0.1" + none + ": connection refused"},
		{"host", four.Addr().String(), true, "connect " + four.Addr().String() + ": connected"},
		{"host, nobody", "127.0.0.1" + none, false, "connect 127.0.0.1" + none + ": connection refused"},
		{"host is not another family", "127.0.0.1" + bare(six), false, "connect 127.0.0.1" + bare(six) + ": connection refused"},
	} {
		t.Run(tc.name, func(t *testing.T) { wantProbe(t, tcp(tc.address), tc.passes, tc.output) })
	}
}

func TestProbeTCPClosesTheConnection(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	wantProbe(t, tcp(bare(l)), true, "connect "+l.Addr().String()+": connected")
	conn, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("read: %v, want EOF", err)
	}
}

func TestProbeUnknownKind(t *testing.T) {
	wantProbe(t, config.Check{Kind: "smoke", Timeout: time.Second}, false, `cannot probe: there is no check of kind "smoke"`)
}

func TestProbeHTTPStatus(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	serve(t, l, func(w http.ResponseWriter, r *http.Request) {
		var status int
		fmt.Sscanf(r.URL.Path, "/%d", &status)
		w.Header().Set("Location", "/200")
		w.WriteHeader(status)
	})
	for _, tc := range []struct {
		status string
		listed []int
		passes bool
	}{
		{"101 Switching Protocols", nil, false},
		{"200 OK", nil, true},
		{"302 Found", nil, true}, // and not followed: the output says so
		{"399", nil, true},
		{"400 Bad Request", nil, false},
		{"404 Not Found", nil, false},
		{"503 Service Unavailable", nil, false},
		{"404 Not Found", []int{200, 404}, true},
		{"204 No Content", []int{200, 404}, false},
	} {
		t.Run(fmt.Sprint(tc.status, tc.listed), func(t *testing.T) {
			path := "/" + tc.status[:3]
			c := get("http://" + bare(l) + path)
			c.Status = tc.listed
			wantProbe(t, c, tc.passes, "GET http://"+l.Addr().String()+path+" : "+tc.status)
		})
	}
}

func TestProbeHTTPIPv6Only(t *testing.T) {
	l := listen6(t)
	serve(t, l, func(http.ResponseWriter, *http.Request) {})
	wantProbe(t, get("http://"+bare(l)+"/"), true, "GET http://"+l.Addr().String()+"/ : 200 OK")
}

func TestProbeHTTPNobodyListens(t *testing.T) {
	none := unused(t)
	wantProbe(t, get("http://"+none+"/"), false, "connect 127.0.0.1"+none+": connection refused")
}

func TestProbeHTTPRequest(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	serve(t, l, func(w http.ResponseWriter, r *http.Request) {
		seen := strings.Join([]string{r.Method, r.Host, r.UserAgent(), r.Header.Get("X-Who"), r.Header.Get("Authorization"),
			r.Header.Get("Accept-Encoding"), r.Header.Get("Connection")}, "|")
		if seen != r.URL.Query().Get("want") {
			t.Errorf("got %s\nwant %s", seen, r.URL.Query().Get("want"))
		}
	})
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	host := l.Addr().String()
	for _, tc := range []struct {
		name, url string
		headers   map[string]string
		want      string
	}{
		{"bare port", "http://" + bare(l), nil, "GET|localhost|sidekick||||close"},
		{"own host", "http://" + host, nil, "GET|" + host + "|sidekick||||close"},
		{"headers", "http://" + bare(l), map[string]string{"x-who": "me", "host": "app.example", "User-Agent": "probe"},
			"GET|app.example|probe|me|||close"},
		{"user and password", "http://me:secret@" + host, nil, "GET|" + host + "|sidekick||Basic bWU6c2VjcmV0||close"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := get(tc.url + "/?want=" + strings.ReplaceAll(tc.want, " ", "+"))
			c.Headers = tc.headers
			output, err := Probe(t.Context(), c)
			if err != nil {
				t.Error(err)
			}
			if strings.Contains(output, "secret") {
				t.Errorf("the output shows the password: %s", output)
			}
		})
	}
}

// A listener that accepts (the kernel does) and never answers.
func TestProbeHTTPNoAnswer(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	c := get("http://" + bare(l) + "/")
	c.Timeout = 200 * time.Millisecond
	wantProbe(t, c, false, "GET http://"+l.Addr().String()+"/ : no answer within 200ms")
}

func TestProbeHTTPSlowHeader(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	go answerRaw(l, func(conn net.Conn) { // ends when the listener is closed
		conn.Read(make([]byte, 4096))
		io.WriteString(conn, "HTTP/1.1 200 OK\r\nX-Half:")
		io.Copy(io.Discard, conn) // until the probe gives up
	})
	c := get("http://" + bare(l) + "/")
	c.Timeout = 200 * time.Millisecond
	wantProbe(t, c, false, "GET http://"+l.Addr().String()+"/ : no answer within 200ms")
}

func TestProbeHTTPEndlessBody(t *testing.T) {
	for name, body := range map[string]string{"slow": "x", "fast": strings.Repeat("x", 1<<20)} {
		t.Run(name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			go answerRaw(l, func(conn net.Conn) { // ends when the listener is closed
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				for _, err := io.WriteString(conn, body); err == nil && name == "fast"; {
					_, err = io.WriteString(conn, body)
				}
				io.Copy(io.Discard, conn)
			})
			c := get("http://" + bare(l) + "/")
			c.Timeout = time.Minute
			start := time.Now()
			wantProbe(t, c, true, "GET http://"+l.Addr().String()+"/ : 200 OK")
			if took := time.Since(start); took > 30*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestProbeHTTPNonsense(t *testing.T) {
	for _, tc := range []struct{ name, answer, want string }{
		{"no HTTP", "220 mail.example ESMTP\r\n", "malformed HTTP"},
		{"nothing", "", "EOF"},
		{"a long line", strings.Repeat("a", 100<<10) + "\r\n", "…"},
		{"endless header", "HTTP/1.1 200 OK\r\n" + strings.Repeat("X: y\r\n", 100<<10), "headers"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			l := listen(t, "127.0.0.1:0")
			go answerRaw(l, func(conn net.Conn) { // ends when the listener is closed
				conn.Read(make([]byte, 4096))
				io.WriteString(conn, tc.answer)
			})
			output, err := Probe(t.Context(), get("http://"+bare(l)+"/"))
			if err == nil || !strings.Contains(output, tc.want) || strings.Count(output, "http://") != 1 ||
				strings.Contains(output, "\n") || len(output) > 400 {
				t.Errorf("%q, %v; want %q in one short line", output, err, tc.want)
			}
		})
	}
}

// answerRaw serves every connection of l by answer, one after the other.
func answerRaw(l net.Listener, answer func(net.Conn)) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return
		}
		answer(conn)
		conn.Close()
	}
}

// The connection is not kept: a program that is asked to end must not wait for it.
func TestProbeHTTPKeepsNoConnection(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	closed := make(chan struct{})
	server := &httptest.Server{Listener: l, Config: &http.Server{
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
		ConnState: func(_ net.Conn, s http.ConnState) {
			if s == http.StateClosed {
				close(closed)
			}
		}}}
	server.Start()
	t.Cleanup(server.Close)
	if _, err := Probe(t.Context(), get("http://"+bare(l))); err != nil {
		t.Fatal(err)
	}
	select {
	case <-closed:
	case <-time.After(10 * time.Second):
		t.Error("the connection is still open")
	}
}

func TestProbeCancelled(t *testing.T) {
	l := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	c := get("http://" + bare(l))
	c.Timeout = time.Minute
	if _, err := Probe(ctx, c); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that of the context", err)
	}
}

func TestProbeHTTPS(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it complains about our refusal
	server.StartTLS()
	t.Cleanup(server.Close)
	output, err := Probe(t.Context(), get("https://"+bare(server.Listener)+"/"))
	if err == nil || !strings.Contains(output, "x509") {
		t.Errorf("%q, %v; want a failure that names the certificate", output, err)
	}
}

// A probe gives a hanging 127.0.0.1 half of the time. A full backlog makes the
// kernel drop connects: it is what a program that stopped accepting looks like.
func TestProbeLeavesTimeForIPv6(t *testing.T) {
	listen6(t) // or there is nothing to test
	var six net.Listener
	for six == nil { // the port that is free there may be taken here, by anybody's connection
		_, port, _ := net.SplitHostPort(fillBacklog(t))
		six, _ = net.Listen("tcp", "[::1]:"+port)
	}
	c := tcp(bare(six))
	c.Timeout = 400 * time.Millisecond
	wantProbe(t, c, true, "connect "+six.Addr().String()+": connected")
	six.Close()
	wantProbe(t, c, false, "connect 127.0.0.1"+bare(six)+": no answer within 200ms")
}
