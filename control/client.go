package control

import (
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
	var problems []string
	for _, path := range paths {
		conn, err := dial(context.Background(), path)
		if err == nil {
			_ = conn.Close()
			return newClient(path), nil
		}
		problems = append(problems, err.Error())
	}
	return nil, fmt.Errorf("%w: %s", ErrNobodyAnswers, strings.Join(problems, "; "))
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

// Programs lists all programs in the order of the file.
func (c *Client) Programs(ctx context.Context) ([]Program, error) {
	var programs []Program
	err := c.do(ctx, http.MethodGet, "/v1/programs", &programs)
	return programs, err
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
	request, err := http.NewRequestWithContext(ctx, method, "http://sidekick"+path, nil)
	if err != nil {
		return err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNobodyAnswers, err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	if response.StatusCode == http.StatusOK {
		return json.Unmarshal(body, result)
	}
	var e errorBody
	if json.NewDecoder(bytes.NewReader(body)).Decode(&e) != nil || e.Error == nil {
		return fmt.Errorf("%s %s: unexpected answer %s", method, path, response.Status)
	}
	e.Error.Status = response.StatusCode
	return e.Error
}
