package supervisorctl

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// call is one request: a method and its arguments. An argument is a string, int,
// bool, float64, []any or map[string]any.
type call struct {
	method string
	args   []any
}

// maxDepth is how deep values may lie within each other. A multicall of calls
// with plain arguments needs 4.
const maxDepth = 16

// decodeCall reads a methodCall (xmlrpc.com/spec.md). The caller bounds the
// bytes of r, which bounds everything but the depth. Go's decoder knows no
// entities but the five of XML; a document type, which could define some, is
// refused.
func decodeCall(r io.Reader) (call, error) {
	d := decoder{xml: xml.NewDecoder(r)}
	var c call
	if err := d.enter("methodCall"); err != nil {
		return call{}, err
	}
	for {
		name, err := d.child()
		switch {
		case err != nil:
			return call{}, err
		case name == "":
			if c.method == "" {
				return call{}, errors.New("no methodName")
			}
			return c, nil
		case name == "methodName":
			c.method, err = d.text()
			c.method = strings.TrimSpace(c.method)
		case name == "params":
			c.args, err = d.list("param", func() (any, error) {
				if err := d.enter("value"); err != nil {
					return nil, err
				}
				return d.last(d.value())
			})
		default:
			err = unexpected(name)
		}
		if err != nil {
			return call{}, err
		}
	}
}

func unexpected(name string) error { return fmt.Errorf("unexpected <%s>", name) }

// decoder reads elements one by one. Its methods begin behind a start tag and
// end behind the end tag that belongs to it.
type decoder struct {
	xml   *xml.Decoder
	depth int // of values
}

// child goes to the next start tag, and returns "" where the element ends
// instead. Text between elements must be blank.
func (d *decoder) child() (string, error) {
	blank, name, err := d.token()
	if err == nil && strings.TrimSpace(blank) != "" {
		err = fmt.Errorf("unexpected text %.20q", blank)
	}
	return name, err
}

// token returns the text up to the next tag, and the name of that if it is a
// start tag.
func (d *decoder) token() (text, name string, err error) {
	var before strings.Builder
	for {
		token, err := d.xml.Token()
		if err != nil {
			return "", "", err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return before.String(), t.Name.Local, nil
		case xml.EndElement:
			return before.String(), "", nil
		case xml.CharData:
			before.Write(t)
		case xml.Directive:
			return "", "", errors.New("a document type is not allowed")
		}
	}
}

// enter wants the next tag to be the start of name.
func (d *decoder) enter(name string) error {
	found, err := d.child()
	if err == nil && found != name {
		err = unexpected(found)
	}
	return err
}

// text is all of an element that has no others in it.
func (d *decoder) text() (string, error) {
	text, name, err := d.token()
	if err == nil && name != "" {
		err = unexpected(name)
	}
	return text, err
}

// last wants the element around v to end.
func (d *decoder) last(v any, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return v, d.enter("")
}

// list reads elements of one name, each with read, until the element around
// them ends.
func (d *decoder) list(of string, read func() (any, error)) ([]any, error) {
	all := []any{}
	for {
		name, err := d.child()
		switch {
		case err != nil:
			return nil, err
		case name == "":
			return all, nil
		case name != of:
			return nil, unexpected(name)
		}
		v, err := read()
		if err != nil {
			return nil, err
		}
		all = append(all, v)
	}
}

// value reads a value, which is a string where no type is named.
func (d *decoder) value() (any, error) {
	if d.depth++; d.depth > maxDepth {
		return nil, fmt.Errorf("values lie more than %d deep", maxDepth)
	}
	defer func() { d.depth-- }()
	text, name, err := d.token()
	switch {
	case err != nil:
		return nil, err
	case name == "":
		return text, nil
	case strings.TrimSpace(text) != "":
		return nil, fmt.Errorf("unexpected text %.20q", text)
	}
	return d.last(d.typed(name))
}

func (d *decoder) typed(name string) (any, error) {
	switch name {
	case "array":
		if err := d.enter("data"); err != nil {
			return nil, err
		}
		all, err := d.list("value", d.value)
		return d.last(all, err)
	case "struct":
		return d.structure()
	}
	text, err := d.text()
	if err != nil {
		return nil, err
	}
	return scalar(name, text)
}

func scalar(name, text string) (any, error) {
	switch name {
	case "string":
		return text, nil
	case "int", "i4":
		n, err := strconv.ParseInt(strings.TrimSpace(text), 10, 32)
		return int(n), err
	case "boolean":
		if text != "0" && text != "1" {
			return nil, fmt.Errorf("%.20q is neither 0 nor 1", text)
		}
		return text == "1", nil
	case "double":
		return strconv.ParseFloat(strings.TrimSpace(text), 64)
	case "base64":
		data, err := base64.StdEncoding.DecodeString(text) // ignores line ends
		return string(data), err
	}
	return nil, unexpected(name)
}

func (d *decoder) structure() (any, error) {
	all := map[string]any{}
	_, err := d.list("member", func() (any, error) {
		if err := d.enter("name"); err != nil {
			return nil, err
		}
		name, err := d.text()
		if err == nil {
			err = d.enter("value")
		}
		if err != nil {
			return nil, err
		}
		all[name], err = d.value()
		return d.last(nil, err)
	})
	return all, err
}
