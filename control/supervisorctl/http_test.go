package supervisorctl

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// ask sends a request to the handler.
func ask(s *Server, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func TestHTTP(t *testing.T) {
	s := newWorld(running("web")).server()
	good := calling("supervisor.getVersion", "")
	for _, c := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"POST", "/RPC2", good, 200, "<string>3.0</string>"},
		{"POST", "/RPC2/", good, 200, "<string>3.0</string>"},
		{"POST", "/RPC2", calling("supervisor.nope", ""), 200, "UNKNOWN_METHOD"},
		{"POST", "/RPC2", "hello", 400, ""},
		{"POST", "/RPC2", "", 400, ""},
		{"POST", "/RPC2", `<!DOCTYPE x [<!ENTITY a "b">]>` + good, 400, ""},
		{"GET", "/RPC2", "", 400, ""},
		{"POST", "/RPC2", calling("m", "<param><value>"+strings.Repeat("x", maxBody)+"</value></param>"), 413, ""},
		{"GET", "/", "", 404, ""},
		{"GET", "/logtail/no", "", 404, ""},
		{"GET", "/logtail/no/stdout", "", 404, ""},
		{"GET", "/logtail/web/stdin", "", 404, ""},
		{"GET", "/logtail/", "", 404, ""},
		{"POST", "/logtail/web", "", 400, ""},
		{"POST", "/mainlogtail", "", 400, ""},
	} {
		w := ask(s, c.method, c.path, c.body)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s %s: %d %.200q, want %d %q", c.method, c.path, w.Code, w.Body, c.status, c.want)
		}
	}
}

// FuzzHandler: whatever comes is answered, and every answer is well-formed.
func FuzzHandler(f *testing.F) {
	s := newWorld(running("web"), inGroup("grp", stopped("grp-0"))).server()
	for name, m := range s.methods {
		var params strings.Builder
		for _, p := range m.params {
			params.WriteString("<param><value>" + map[string]string{"string": "<string>web</string>", "int": "<int>-5</int>",
				"boolean": "<boolean>0</boolean>", "array": "<array><data/></array>"}[p.kind] + "</value></param>")
		}
		f.Add("POST", "/RPC2", calling(name, params.String()))
	}
	f.Add("GET", "/logtail/web/stdout", "")
	f.Add("GET", "/mainlogtail", "")
	f.Fuzz(func(t *testing.T, method, path, body string) {
		q, err := http.NewRequestWithContext(t.Context(), method, "http://localhost/", strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		q.URL.Path = path
		s := newWorld(running("web"), inGroup("grp", stopped("grp-0"))).server()
		w := httptest.NewRecorder()
		s.Handler().ServeHTTP(w, q)
		switch w.Code {
		case http.StatusOK:
			wellFormed(t, w.Body.Bytes())
		case http.StatusBadRequest, http.StatusNotFound, http.StatusRequestEntityTooLarge,
			http.StatusMovedPermanently, http.StatusTemporaryRedirect, http.StatusInternalServerError:
		default:
			t.Errorf("%d", w.Code)
		}
	})
}
