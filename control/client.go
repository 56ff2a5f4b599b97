package control

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"sidekick/events"
	"sidekick/supervisor"
)

// ErrNobodyAnswers: no sidekick was found behind any socket.
var ErrNobodyAnswers = errors.New("nobody answers")

// Client talks to one sidekick.
type Client struct {
	http *http.Client
	// Socket is the path it talks to.
	Socket string
}

// Dial finds the first of the paths behind which a trusted process answers.
// Otherwise the error is ErrNobodyAnswers with what was wrong with each.
func Dial(paths []string) (*Client, error) {
	problem, separator := ErrNobodyAnswers, ":"
	for _, path := range paths {
		conn, err := dial(context.Background(), path)
		if err == nil {
			_ = conn.Close()
			return newClient(path), nil
		}
		problem, separator = fmt.Errorf("%w%s %w", problem, separator, err), ";"
	}
	return nil, problem
}

func newClient(path string) *Client {
	return &Client{Socket: path, http: &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx, path) },
	}}}
}

// dial connects and looks who is there: every connection is checked, since the
// socket may change hands between two.
func dial(ctx context.Context, path string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: dialTimeout}
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, err
	}
	cred, err := peer(conn)
	if err == nil && !trusts(cred, uint32(os.Geteuid())) {
		err = fmt.Errorf("%s belongs to uid %d, who is neither root nor you", path, cred.Uid)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return conn, nil
}

// maxAnswer bounds what a client reads of an answer, in bytes.
const maxAnswer = 16 << 20

// Programs lists all programs in the order of the file; stats: with what each
// uses.
func (c *Client) Programs(ctx context.Context, stats bool) ([]Program, error) {
	var programs []Program
	err := c.do(ctx, http.MethodGet, fmt.Sprintf("/v1/programs?stats=%v", stats), &programs)
	return programs, err
}

// Program is one program with its history.
func (c *Client) Program(ctx context.Context, name string) (Program, error) {
	var p Program
	err := c.do(ctx, http.MethodGet, "/v1/programs/"+url.PathEscape(name), &p)
	return p, err
}

// Act carries out an action on one program and waits for its outcome for at
// most wait; 0: it does not wait.
func (c *Client) Act(ctx context.Context, action supervisor.Action, name string, wait time.Duration) (Program, error) {
	var p Program
	if name == "" {
		return p, unknown(name)
	}
	path := "/v1/programs/" + url.PathEscape(name) + "/" + string(action)
	if wait > 0 {
		path += "?wait=" + wait.String()
	}
	err := c.doWithin(ctx, wait+answerTimeout, http.MethodPost, path, &p)
	return p, err
}

// Signal sends a signal, by name or number, to the process of a program.
func (c *Client) Signal(ctx context.Context, name, signal string) (Program, error) {
	var p Program
	path := "/v1/programs/" + url.PathEscape(name) + "/signal?" + url.Values{"signal": {signal}}.Encode()
	err := c.do(ctx, http.MethodPost, path, &p)
	return p, err
}

// Drain takes the keys of programs out of etcd while they run on or, with
// drained false, puts them back. It waits for etcd for at most wait; 0: not at
// all.
func (c *Client) Drain(ctx context.Context, drained bool, names []string, wait time.Duration) ([]Program, error) {
	path := "/v1/undrain"
	if drained {
		path = "/v1/drain"
	}
	form := url.Values{"program": names} // in the body: it may be long
	if wait > 0 {
		form.Set("wait", wait.String())
	}
	ctx, cancel := context.WithTimeout(ctx, wait+answerTimeout)
	defer cancel()
	response, err := c.request(ctx, http.MethodPost, path, form.Encode())
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var programs []Program
	err = decode(response, &programs)
	return programs, err
}

// Health is the answer for a container's health check.
func (c *Client) Health(ctx context.Context) (Verdict, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var v Verdict
	response, err := c.request(ctx, http.MethodGet, "/v1/health", "")
	if err != nil {
		return v, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusServiceUnavailable {
		return v, decode(response, &v)
	}
	return v, json.NewDecoder(io.LimitReader(response.Body, maxAnswer)).Decode(&v)
}

// Events calls fn with each event after that with the ID since, until fn fails,
// ctx ends or, without follow, no more are there. 0 stands for all that is kept.
// The error is io.ErrUnexpectedEOF when sidekick ended the stream.
func (c *Client) Events(ctx context.Context, since uint64, follow bool, fn func(events.Event) error) error {
	response, err := c.request(ctx, http.MethodGet, fmt.Sprintf("/v1/events?since=%d&follow=%v", since, follow), "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return decode(response, nil)
	}
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		data, ok := bytes.CutPrefix(lines.Bytes(), []byte("data: "))
		if !ok {
			continue
		}
		var e events.Event
		if err := json.Unmarshal(data, &e); err != nil {
			return err
		}
		if err := fn(e); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil || !follow {
		return err
	}
	return io.ErrUnexpectedEOF
}

// do makes one request; an error of the API is an *Error.
func (c *Client) do(ctx context.Context, method, path string, result any) error {
	return c.doWithin(ctx, answerTimeout, method, path, result)
}

// answerTimeout is how long a sidekick that lives may take for an answer that
// waits for nothing.
const answerTimeout = 10 * time.Second

// doWithin gives up when there is no answer within the limit.
func (c *Client) doWithin(ctx context.Context, limit time.Duration, method, path string, result any) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	response, err := c.request(ctx, method, path, "")
	if err != nil {
		return err
	}
	defer response.Body.Close()
	return decode(response, result)
}

// request returns the answer, whatever it says, for the caller to close.
func (c *Client) request(ctx context.Context, method, path, body string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, "http://sidekick"+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the route, which no user has typed
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNobodyAnswers, err)
	}
	return response, nil
}

// decode reads a whole answer.
func decode(response *http.Response, result any) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(body, result)
	}
	var e errorBody
	if json.Unmarshal(body, &e) != nil || e.Error == nil {
		return fmt.Errorf("%s: unexpected answer %s", response.Request.URL.Path, response.Status)
	}
	e.Error.Status = response.StatusCode
	return e.Error
}
