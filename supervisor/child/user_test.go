package child

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

const (
	passwdFile = `# comment
root:x:0:0:root:/root:/bin/bash
app:x:1000:1001:An App,,,:/home/app:/bin/sh
nohome:x:1001:1001:::
badgroup:x:1002:none::/:/bin/sh
short:x:1003:1

  broken
minus:x:4294967295:0::/:/bin/sh
dup:x:1000:7::/dup:/bin/sh
`
	groupFile = `root:x:0:
app:x:1001:app
video:x:44:nobody,app
audio:x:29:app,root
apple:x:50:apples,xapp
twice:x:29:app
`
)

func TestFindAccount(t *testing.T) {
	app := User{UID: 1000, GID: 1001, Groups: []uint32{1001, 44, 29}, Name: "app", Home: "/home/app"}
	inGroup := app
	inGroup.GID, inGroup.Groups = 44, []uint32{44, 1001, 29}
	for _, c := range []struct {
		user, group string
		want        User
		problem     string
	}{
		{"app", "", app, ""},
		{"1000", "", app, ""},
		{"app", "video", inGroup, ""},
		{"app", "44", inGroup, ""},
		{"app", "app", app, ""},
		{"root", "", User{Groups: []uint32{0, 29}, Name: "root", Home: "/root"}, ""},
		{"nohome", "", User{UID: 1001, GID: 1001, Groups: []uint32{1001}, Name: "nohome", Home: "/"}, ""},
		{"4242", "", User{UID: 4242, Groups: []uint32{0}, Home: "/"}, ""},
		{"4242", "777", User{UID: 4242, GID: 777, Groups: []uint32{777}, Home: "/"}, ""},
		{"1003", "", User{UID: 1003, Groups: []uint32{0}, Home: "/"}, ""}, // its line is too short
		{"ghost", "", User{}, "cannot find user ghost in /etc/passwd: add it or give its id"},
		{"minus", "", User{}, "cannot find user minus in /etc/passwd: add it or give its id"},
		{"-1", "", User{}, "cannot find user -1 in /etc/passwd: add it or give its id"},
		{"4294967295", "", User{}, "cannot find user 4294967295 in /etc/passwd: add it or give its id"},
		{"app", "ghosts", User{}, "cannot find group ghosts in /etc/group: add it or give its id"},
		{"badgroup", "", User{}, "cannot use user badgroup: its entry in /etc/passwd has no group id"},
	} {
		got, err := findAccount(passwdFile, groupFile, c.user, c.group)
		if problem := describe(err); !reflect.DeepEqual(got, c.want) || problem != c.problem {
			t.Errorf("%s:%s: got %+v, %q", c.user, c.group, got, problem)
		}
	}
}

func describe(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestLookupUser(t *testing.T) {
	for _, user := range []string{"", "987654"} { // the first is ourselves
		want := uint32(os.Getuid())
		if user != "" {
			want = 987654
		}
		if got, err := LookupUser(user, "4321"); err != nil || got.UID != want || got.GID != 4321 || got.Home == "" {
			t.Errorf("%q: got %+v, %v", user, got, err)
		}
	}
	if _, err := LookupUser("no-such-user-here", ""); err == nil {
		t.Error("an unknown user is found")
	}
}

// An image without the files has ids only.
func TestFindAccountWithoutFiles(t *testing.T) {
	if got, err := findAccount("", "", "12", "34"); err != nil || got.UID != 12 || got.GID != 34 || got.Home != "/" {
		t.Errorf("got %+v, %v", got, err)
	}
	if text, err := readAccounts(t.TempDir() + "/none"); text != "" || err != nil {
		t.Errorf("got %q, %v", text, err)
	}
	if _, err := readAccounts(t.TempDir()); err == nil || !strings.HasPrefix(err.Error(), "cannot look up a user: ") {
		t.Errorf("got %v", err)
	}
}

func FuzzFindAccount(f *testing.F) {
	f.Add(passwdFile, groupFile, "app", "video")
	f.Fuzz(func(t *testing.T, passwd, groups, user, group string) {
		u, err := findAccount(passwd, groups, user, group)
		if err == nil && (u.Home == "" || len(u.Groups) == 0 || u.Groups[0] != u.GID) {
			t.Errorf("%+v", u)
		}
	})
}
