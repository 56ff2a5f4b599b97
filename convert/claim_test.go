package convert

import (
	"strings"
	"testing"

	"sidekick/config"
)

// Whatever a program is called, its entry has a name that is accepted.
func TestClaimedNamesAreAccepted(t *testing.T) {
	for _, name := range []string{"all", "all'''", "--", "_under", "grün", "b" + strings.Repeat("}", 2000), strings.Repeat("long", 1000)} {
		c := newConverter("/here", func(string) (string, bool) { return "", false })
		for range 2 { // the second time it is taken
			claimed := c.claim(name, name, 1)
			if _, err := config.Parse("f", []byte("programs: {"+claimed+": {command: x}}"), nil); err != nil {
				t.Errorf("%.20q became %.20q: %v", name, claimed, err)
			}
		}
	}
}

func TestUsersThatNobodyCanBe(t *testing.T) {
	for _, user := range []string{"n\x7fbody", "a b", "a/b", "-a", ":a", "a:", "a:b:c", "4294967295"} {
		c := newConverter("/here", func(string) (string, bool) { return "", false })
		if c.user(&option{name: "user"}, user); len(c.problems) != 1 {
			t.Errorf("%q gives %d problems", user, len(c.problems))
		}
	}
}
