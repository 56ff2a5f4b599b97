package shim

// Setup is what a process is given before its first instruction. What is nil or
// empty stays as sidekick has it.
type Setup struct {
	// UID and GID become the real, effective and saved ids. When one of them is
	// set, Groups are all the supplementary groups.
	UID, GID *uint32
	Groups   []uint32
	Rlimits  []Rlimit
	Umask    *uint32 // 0..0777
	Nice     *int    // -20..19
	// OOMScoreAdj is -1000..1000 (proc_pid_oom_score_adj(5)).
	OOMScoreAdj *int
	// NoNewPrivileges: no exec gives more than this process has (prctl(2)).
	NoNewPrivileges bool
	Caps            *Caps
}

// Rlimit is one resource limit (setrlimit(2)).
type Rlimit struct {
	Name       string // for messages; "": the number
	Resource   int    // RLIMIT_…
	Soft, Hard uint64 // ^uint64(0): unlimited
}

// Caps changes the capabilities (capabilities(7)): first Drop, then Add. What
// is dropped leaves all sets. What is added has to be in sidekick's own bounding
// set; a user other than root gets it as an ambient capability, so that it
// outlives exec, root gets whatever its bounding set holds.
type Caps struct {
	DropAll   bool
	Drop, Add []Cap
}

// Cap is one capability.
type Cap struct {
	Name   string // for messages; "": the number
	Number uint   // CAP_…, 0..63
}
