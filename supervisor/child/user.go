package child

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
)

// User is who a program runs as.
type User struct {
	UID, GID uint32
	Groups   []uint32 // the supplementary groups and GID, as with initgroups(3)
	// Name is "" and Home "/" for an id without an entry in /etc/passwd.
	Name, Home string
}

// LookupUser finds a user by name or id in /etc/passwd and /etc/group. user ""
// is the user sidekick runs as, group "" that of the user. As with docker run
// --user, an id needs no entry: then its group is 0 unless group is given, and
// it is in no other. Unlike there, a group that is given takes the place of the
// user's own only, and the supplementary groups stay.
func LookupUser(user, group string) (User, error) {
	passwd, err := readAccounts("/etc/passwd")
	if err != nil {
		return User{}, err
	}
	groups, err := readAccounts("/etc/group")
	if err != nil {
		return User{}, err
	}
	return findAccount(passwd, groups, user, group)
}

// readAccounts: images without the file have ids only.
func readAccounts(path string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("cannot look up a user: %w", err)
	}
	return string(data), nil
}

func findAccount(passwd, groups, user, group string) (User, error) {
	if user == "" {
		user = strconv.Itoa(os.Getuid())
	}
	u, err := findUser(passwd, user)
	if err != nil {
		return User{}, err
	}
	if group != "" {
		if u.GID, err = findGroup(groups, group); err != nil {
			return User{}, err
		}
	}
	u.Groups = []uint32{u.GID}
	for gid, fields := range entries(groups) {
		if u.Name != "" && slices.Contains(strings.Split(fields[3], ","), u.Name) && !slices.Contains(u.Groups, gid) {
			u.Groups = append(u.Groups, gid)
		}
	}
	return u, nil
}

// findUser: a number is always an id, as with Docker.
func findUser(passwd, user string) (User, error) {
	id, numeric := parseID(user)
	for uid, fields := range entries(passwd) {
		if len(fields) < 6 || numeric && uid != id || !numeric && fields[0] != user {
			continue
		}
		gid, ok := parseID(fields[3])
		if !ok {
			return User{}, fmt.Errorf("cannot use user %s: its entry in /etc/passwd has no group id", user)
		}
		home := fields[5]
		if home == "" {
			home = "/"
		}
		return User{UID: uid, GID: gid, Name: fields[0], Home: home}, nil
	}
	if numeric {
		return User{UID: id, Home: "/"}, nil
	}
	return User{}, fmt.Errorf("cannot find user %s in /etc/passwd: add it or give its id", user)
}

func findGroup(groups, group string) (uint32, error) {
	if id, numeric := parseID(group); numeric {
		return id, nil
	}
	for gid, fields := range entries(groups) {
		if fields[0] == group {
			return gid, nil
		}
	}
	return 0, fmt.Errorf("cannot find group %s in /etc/group: add it or give its id", group)
}

// entries yields the lines of passwd(5) or group(5) that have a name and an id,
// as the id and all fields, of which there are at least four.
func entries(file string) iter.Seq2[uint32, []string] {
	return func(yield func(uint32, []string) bool) {
		for line := range strings.Lines(file) {
			fields := strings.Split(strings.TrimSpace(line), ":")
			if len(fields) < 4 || fields[0] == "" || fields[0][0] == '#' {
				continue
			}
			if id, ok := parseID(fields[2]); ok && !yield(id, fields) {
				return
			}
		}
	}
}

// parseID reads an id. The highest means "leave it" in setresuid(2).
func parseID(s string) (uint32, bool) {
	id, err := strconv.ParseUint(s, 10, 32)
	return uint32(id), err == nil && id != math.MaxUint32
}
