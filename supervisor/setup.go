package supervisor

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"sidekick/config"
	"sidekick/supervisor/child"
)

// setupOf resolves what is set in the child before its first instruction. nil:
// nothing is. The account is the environment that comes with the user.
func setupOf(l *config.Launch) (setup *child.Setup, account []string, err error) {
	if l.User == "" && noLimits(&l.Limits) {
		return nil, nil, nil
	}
	limits := &l.Limits
	setup = &child.Setup{Umask: limits.Umask, Nice: limits.Nice, OOMScoreAdj: limits.OOMScoreAdj,
		NoNewPrivileges: limits.NoNewPrivileges}
	if l.User != "" {
		if account, err = setUser(setup, l); err != nil {
			return nil, nil, err
		}
	}
	for _, u := range limits.Ulimits {
		resource, ok := config.UlimitResource(u.Name)
		if !ok {
			return nil, nil, fmt.Errorf("ulimits: there is no limit %q", u.Name)
		}
		setup.Rlimits = append(setup.Rlimits, child.Rlimit{Name: u.Name, Resource: resource, Soft: u.Soft, Hard: u.Hard})
	}
	setup.Caps, err = capsOf(limits)
	return setup, account, err
}

func capsOf(l *config.Limits) (*child.Caps, error) {
	if len(l.CapDrop)+len(l.CapAdd) == 0 {
		return nil, nil
	}
	all := slices.Equal(l.CapDrop, []string{"ALL"})
	caps := &child.Caps{DropAll: all}
	var err error
	if !all {
		if caps.Drop, err = capabilities(l.CapDrop); err != nil {
			return nil, err
		}
	}
	caps.Add, err = capabilities(l.CapAdd)
	return caps, err
}

func capabilities(names []string) (all []child.Cap, err error) {
	for _, name := range names {
		number, ok := config.CapabilityNumber(name)
		if !ok {
			return nil, fmt.Errorf("there is no capability %q", name)
		}
		all = append(all, child.Cap{Name: name, Number: number})
	}
	return all, nil
}

func noLimits(l *config.Limits) bool {
	return len(l.Ulimits)+len(l.CapDrop)+len(l.CapAdd) == 0 && l.Umask == nil && l.Nice == nil &&
		l.OOMScoreAdj == nil && !l.NoNewPrivileges
}

func setUser(setup *child.Setup, l *config.Launch) (account []string, err error) {
	u, err := child.LookupUser(l.User, l.Group)
	if err != nil {
		return nil, err
	}
	setup.UID, setup.GID, setup.Groups = &u.UID, &u.GID, u.Groups
	// An id without an entry has no name; sidekick's own would be a lie.
	name := cmp.Or(u.Name, strconv.FormatUint(uint64(u.UID), 10))
	return []string{"HOME=" + u.Home, "USER=" + name, "LOGNAME=" + name}, nil
}
