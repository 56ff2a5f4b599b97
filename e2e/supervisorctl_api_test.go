package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// The API has the methods of supervisord's, with the same signatures, and answers
// with the same faults and fields.
func TestSupervisorAPI(t *testing.T) {
	t.Parallel()
	p := startPair(t, supervisordPrograms, sidekickPrograms)
	p.settle()
	text := regexp.MustCompile(`<string>([^<]*)</string>|<int>(\d+)</int>`)
	ask := func(s *side, method string, args ...string) (all []string) {
		t.Helper()
		var params strings.Builder
		for _, arg := range args {
			fmt.Fprintf(&params, "<param><value>%s</value></param>", arg)
		}
		answer, err := s.post("<methodCall><methodName>" + method + "</methodName><params>" + params.String() + "</params></methodCall>")
		if err != nil {
			t.Errorf("%s%v: %v", method, args, err)
		}
		for _, m := range text.FindAllStringSubmatch(answer, -1) {
			all = append(all, m[1]+m[2])
		}
		return all
	}
	methods := ask(&p.theirs, "system.listMethods")
	if d := cmp.Diff(methods, ask(&p.ours, "system.listMethods")); d != "" || len(methods) < 40 {
		t.Errorf("%d methods: - supervisord, + sidekick\n%s", len(methods), d)
	}
	calls := [][]string{{"supervisor.nope"}, {"nope"}, {"supervisor.getPID", "x"}, {"supervisor.getProcessInfo"}, {"supervisor.getProcessInfo", "no"},
		{"supervisor.getState"}, {"supervisor.getIdentification"}, {"supervisor.getAPIVersion"}, {"supervisor.getSupervisorVersion"},
		{"supervisor.startProcess", "web"}, {"supervisor.stopProcess", "once"}, {"supervisor.signalProcess", "web", "NOPE"}, {"supervisor.stopProcessGroup", "no"},
		{"supervisor.addProcessGroup", "web"}, {"supervisor.addProcessGroup", "no"}, {"supervisor.removeProcessGroup", "web"},
		{"supervisor.readProcessStdoutLog", "lines", "<int>-5</int>", "<int>5</int>"}, {"supervisor.sendProcessStdin", "once", "x"},
		{"system.methodHelp", "no"}, {"system.methodSignature", "no"},
		{"system.multicall", "<array><data><value><struct><member><name>methodName</name><value>supervisor.getVersion</value></member></struct></value>" +
			"<value><struct><member><name>methodName</name><value>supervisor.stopProcess</value></member><member><name>params</name><value><array><data>" +
			"<value>manual</value></data></array></value></member></struct></value></data></array>"}}
	for _, method := range methods {
		calls = append(calls, []string{"system.methodSignature", method})
	}
	for _, c := range calls {
		if d := cmp.Diff(ask(&p.theirs, c[0], c[1:]...), ask(&p.ours, c[0], c[1:]...)); d != "" {
			t.Errorf("%v: - supervisord, + sidekick\n%s", c, d)
		}
	}
	name := regexp.MustCompile(`<name>([^<]*)</name>`)
	for _, method := range []string{"supervisor.getAllProcessInfo", "supervisor.getAllConfigInfo"} {
		var fields [2]map[string]bool
		for i, s := range []*side{&p.theirs, &p.ours} {
			answer, _ := s.post("<methodCall><methodName>" + method + "</methodName></methodCall>")
			fields[i] = map[string]bool{}
			for _, m := range name.FindAllStringSubmatch(answer, -1) {
				fields[i][m[1]] = true
			}
		}
		if d := cmp.Diff(fields[0], fields[1]); d != "" || len(fields[0]) < 10 {
			t.Errorf("%s: - supervisord, + sidekick\n%s", method, d)
		}
	}
}

// The socket has the mode of the other; a stale one is replaced, and one that
// somebody listens on is left alone.
func TestSupervisorctlSocket(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "k.sock")
	stale, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	stale.(*net.UnixListener).SetUnlinkOnClose(false)
	_ = stale.Close()
	const file = "control: {supervisorctl: \"${CTL}\", mode: \"0640\"}\nprograms: {web: {command: sleep 1000, min_uptime: 0s}}\n"
	first := runPlain(t, file, "CTL="+path)
	s := side{socket: path}
	eventually(t, "it answers", func() bool { got, _ := s.states(); return got == "web:web RUNNING" })
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("%v, %v", info, err)
	}
	second := runPlain(t, file, "CTL="+path)
	second.logs("no supervisorctl socket")
	second.reaches("web", "RUNNING")
	second.stops()
	if got, err := s.states(); got != "web:web RUNNING" {
		t.Errorf("the first one: %q, %v", got, err)
	}
	first.stops()
	if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is left behind: %v", err)
	}
}
