package shim

// Step is one thing the shim does on the way to exec, in this order.
type Step byte

// The steps. Executing is told before exec is tried, so that the end of the
// connection after it means success.
const (
	Reading Step = iota + 1
	Chdir
	OOMScoreAdj
	SetRlimit // Detail: index in Rlimits
	Nice
	SetGroups
	SetGID
	AddCap  // Detail: number; it is not there to be added
	DropCap // Detail: number
	KeepCaps
	SetUID
	SetCaps
	RaiseCap // Detail: number
	NoNewPrivileges
	Executing
	Exec
)

// Failure is the step that was impossible.
type Failure struct {
	Step   Step
	Detail uint32
	Errno  uint32 // of the kernel
}

// reportSize is the length of an encoded Failure.
const reportSize = 9

func (f Failure) encode() (report [reportSize]byte) {
	report[0] = byte(f.Step)
	for i := range 4 {
		report[1+i] = byte(f.Detail >> (8 * i))
		report[5+i] = byte(f.Errno >> (8 * i))
	}
	return report
}

// Outcome reads all that the shim said until its end of the connection was
// closed. executed: exec succeeded. Neither executed nor a failure: it ended
// without a word.
func Outcome(said []byte) (executed bool, failure *Failure) {
	if len(said) > 0 && Step(said[0]) == Executing {
		said = said[1:]
		executed = len(said) == 0
	}
	if len(said) != reportSize {
		return executed, nil
	}
	f := Failure{Step: Step(said[0])}
	for i := range 4 {
		f.Detail |= uint32(said[1+i]) << (8 * i)
		f.Errno |= uint32(said[5+i]) << (8 * i)
	}
	return false, &f
}
