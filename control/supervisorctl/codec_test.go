package supervisorctl

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// golden compares with a file of testdata.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), string(got)); d != "" {
		t.Errorf("%s: %s", path, d)
	}
}

// What Python's xmlrpc.client sends, and what others may.
func TestDecode(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want call
	}{
		"python": {"<?xml version='1.0'?>\n<methodCall>\n<methodName>supervisor.startProcess</methodName>\n<params>\n<param>\n" +
			"<value><string>web:web-0</string></value>\n</param>\n<param>\n<value><boolean>1</boolean></value>\n</param>\n</params>\n</methodCall>\n",
			call{"supervisor.startProcess", []any{"web:web-0", true}}},
		"no params":    {"<methodCall><methodName>a.b</methodName></methodCall>", call{"a.b", nil}},
		"empty params": {"<methodCall><methodName> a.b </methodName><params/></methodCall>", call{"a.b", []any{}}},
		"types": {"<methodCall><methodName>m</methodName><params>" +
			"<param><value><int>-1600</int></value></param><param><value><i4> 7 </i4></value></param><param><value>bare</value></param>" +
			"<param><value></value></param><param><value><double>1.5</double></value></param><param><value><base64>aGk=\n</base64></value></param>" +
			"<param><value><string>&lt;&amp;&#33;&#x21;</string></value></param><param><value><boolean>0</boolean></value></param></params></methodCall>",
			call{"m", []any{-1600, 7, "bare", "", 1.5, "hi", "<&!!", false}}},
		"nested": {"<methodCall><methodName>m</methodName><params><param><value> <array><data><value><struct>" +
			"<member><name>methodName</name><value>x</value></member><member><name>params</name><value><array><data/></array></value></member>" +
			"</struct></value></data></array> </value></param></params></methodCall>",
			call{"m", []any{[]any{map[string]any{"methodName": "x", "params": []any{}}}}}},
		"comment": {"<!-- x --><methodCall><!-- y --><methodName>m<!-- z --></methodName></methodCall>", call{"m", nil}},
	} {
		got, err := decodeCall(strings.NewReader(c.text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d := cmp.Diff(c.want, got, cmp.AllowUnexported(call{})); d != "" {
			t.Errorf("%s: %s", name, d)
		}
	}
}

// calling is a request with these parameters.
func calling(method, params string) string {
	return "<methodCall><methodName>" + method + "</methodName><params>" + params + "</params></methodCall>"
}

func TestDecodeRefuses(t *testing.T) {
	param := func(value string) string { return calling("m", "<param><value>"+value+"</value></param>") }
	deep := strings.Repeat("<array><data><value>", maxDepth) + strings.Repeat("</value></data></array>", maxDepth)
	for name, c := range map[string]struct{ text, want string }{
		"nothing":       {"", "EOF"},
		"text":          {"hello", "EOF"},
		"another":       {"<methodResponse/>", "unexpected <methodResponse>"},
		"no name":       {"<methodCall/>", "no methodName"},
		"empty name":    {"<methodCall><methodName></methodName></methodCall>", "no methodName"},
		"doctype":       {`<!DOCTYPE x [<!ENTITY a "b">]>` + param("&a;"), "document type"},
		"inner doctype": {"<methodCall><!DOCTYPE x></methodCall>", "document type"},
		"entity":        {param("&a;"), "invalid character entity &a;"},
		"encoding":      {"<?xml version='1.0' encoding='utf-7'?>" + param("x"), "encoding"},
		"deep":          {param(deep), "values lie more than 16 deep"},
		"cut":           {"<methodCall><methodName>m</methodName><params><param>", "EOF"},
		"crossed":       {"<methodCall><methodName>m</params></methodCall>", "closed by"},
		"two values":    {param("<int>1</int><int>2</int>"), "unexpected <int>"},
		"stray text":    {param("x<int>1</int>"), "unexpected text"},
		"int":           {param("<int>1x</int>"), "invalid syntax"},
		"large int":     {param("<int>4294967296</int>"), "out of range"},
		"boolean":       {param("<boolean>yes</boolean>"), "neither 0 nor 1"},
		"base64":        {param("<base64>!</base64>"), "illegal base64"},
		"unknown type":  {param("<nil/>"), "unexpected <nil>"},
		"member":        {param("<struct><member><value>1</value></member></struct>"), "unexpected <value>"},
		"elements":      {param("<string><b>x</b></string>"), "unexpected <b>"},
		"not utf-8":     {param("\xff"), "UTF-8"},
	} {
		got, err := decodeCall(strings.NewReader(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, error %v, want %q", name, got, err, c.want)
		}
	}
}

func TestEncode(t *testing.T) {
	var all bytes.Buffer
	for _, v := range []any{
		"a <b> & \"c\" 'd'\tx\r\ny\x1b[31m\xff\u00fc", "", 0, -70, 1 << 40, true, false,
		[]any{}, []any{[]any{strs([]string{"a"}), strs(nil), strs(nil)}},
		map[string]any{"statename": "RUNNING", "statecode": 1},
	} {
		all.Write(encodeResult(v))
	}
	all.Write(encodeFault(&fault{code: badName, detail: "web"}))
	all.Write(encodeFault(&fault{code: shutdownState}))
	golden(t, "answers.xml", all.Bytes())
	wellFormed(t, all.Bytes())
}

// wellFormed wants what any XML parser takes.
func wellFormed(t *testing.T, text []byte) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%v in %.500q", err, text)
		}
	}
}

// FuzzDecode: nothing panics, and what is accepted is bounded.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(calling("supervisor.startProcess", "<param><value><string>web</string></value></param><param><value><boolean>1</boolean></value></param>")))
	f.Add([]byte(calling("system.multicall", "<param><value><array><data><value><struct><member><name>methodName</name><value>a.b</value></member></struct></value></data></array></value></param>")))
	f.Add([]byte(`<!DOCTYPE x [<!ENTITY a "b">]><methodCall/>`))
	f.Add([]byte("<?xml version='1.0'?><methodCall><methodName>m</methodName><params><param><value><base64>aGk=</base64></value></param></params></methodCall>"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := decodeCall(bytes.NewReader(data))
		if err != nil {
			return
		}
		if c.method == "" {
			t.Error("no method")
		}
		for _, arg := range c.args {
			if depth(arg) > maxDepth {
				t.Errorf("%d deep", depth(arg))
			}
		}
	})
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case []any:
		for _, element := range v {
			deepest = max(deepest, depth(element))
		}
	case map[string]any:
		for _, element := range v {
			deepest = max(deepest, depth(element))
		}
	}
	return deepest + 1
}
