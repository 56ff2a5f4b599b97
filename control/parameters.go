package control

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"time"
)

func badRequest(format string, args ...any) error {
	return errorf(http.StatusBadRequest, "bad_request", format, args...)
}

func readQuery(text string) (url.Values, error) {
	values, err := url.ParseQuery(text)
	if err != nil {
		return nil, badRequest("cannot read the parameters: %v", err)
	}
	return values, nil
}

// readBody adds to the parameters what the body says: a JSON object or, as
// `curl -d signal=HUP` sends it, a form.
func readBody(w http.ResponseWriter, q *http.Request, parameters url.Values) error {
	body, err := receive(w, q)
	if err != nil || len(body) == 0 {
		return err
	}
	var more url.Values
	if body[0] == '{' {
		more, err = readObject(body)
	} else {
		more, err = readQuery(string(body))
	}
	for name, values := range more {
		parameters[name] = append(parameters[name], values...)
	}
	return err
}

// receive reads the body; Serve gives it its time.
func receive(w http.ResponseWriter, q *http.Request) ([]byte, error) {
	if q.Body == nil || q.ContentLength == 0 {
		return nil, nil
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, q.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errorf(http.StatusRequestEntityTooLarge, "too_large", "the body has more than %d bytes", maxBody)
	}
	if err != nil {
		return nil, badRequest("cannot read the body: %v", err)
	}
	return bytes.TrimSpace(body), nil
}

// readObject makes parameters of a JSON object of strings, numbers, booleans and
// lists of them.
func readObject(body []byte) (url.Values, error) {
	var object map[string]any
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber()
	if err := decoder.Decode(&object); err != nil {
		return nil, badRequest("the body is no JSON object: %v", err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, badRequest("the body is more than one JSON object")
	}
	values := url.Values{}
	for name, value := range object {
		list, ok := value.([]any)
		if !ok {
			list = []any{value}
		}
		for _, one := range list {
			text, err := scalar(one)
			if err != nil {
				return nil, badRequest("parameter %q: %v", name, err)
			}
			values.Add(name, text)
		}
	}
	return values, nil
}

func scalar(value any) (string, error) {
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		if v {
			return "true", nil
		}
		return "false", nil
	}
	return "", errors.New("must be a string, a number, true, false, or a list of them")
}

// yesNo reads a parameter that is true or false.
func yesNo(q *http.Request, name string, otherwise bool) (bool, error) {
	switch text := q.Form.Get(name); text {
	case "":
		return otherwise, nil
	case "true", "1":
		return true, nil
	case "false", "0":
		return false, nil
	default:
		return false, badRequest("%s=%q is neither true nor false", name, text)
	}
}

// waitParameter is how long the caller waits for the outcome; 0: not at all.
func waitParameter(q *http.Request) (time.Duration, error) {
	text := q.Form.Get("wait")
	if text == "" {
		return 0, nil
	}
	wait, err := time.ParseDuration(text)
	if err != nil || wait < 0 {
		return 0, badRequest("wait=%q is no duration such as 60s", text)
	}
	return wait, nil
}
