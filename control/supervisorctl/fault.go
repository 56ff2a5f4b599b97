package supervisorctl

import "fmt"

// faultCode is a number of Supervisor's (supervisor/xmlrpc.py, class Faults).
type faultCode int

// The faults of 4.2.5 that are given here. success also stands in the results of
// calls on several programs.
const (
	unknownMethod        faultCode = 1
	incorrectParameters  faultCode = 2
	badArguments         faultCode = 3
	signatureUnsupported faultCode = 4
	shutdownState        faultCode = 6
	badName              faultCode = 10
	badSignal            faultCode = 11
	noFile               faultCode = 20
	notExecutable        faultCode = 21
	failed               faultCode = 30
	abnormalTermination  faultCode = 40
	spawnError           faultCode = 50
	alreadyStarted       faultCode = 60
	notRunning           faultCode = 70
	success              faultCode = 80
	alreadyAdded         faultCode = 90
	stillRunning         faultCode = 91
	cantReread           faultCode = 92
)

var faultNames = map[faultCode]string{
	unknownMethod: "UNKNOWN_METHOD", incorrectParameters: "INCORRECT_PARAMETERS", badArguments: "BAD_ARGUMENTS",
	signatureUnsupported: "SIGNATURE_UNSUPPORTED", shutdownState: "SHUTDOWN_STATE", badName: "BAD_NAME",
	badSignal: "BAD_SIGNAL", noFile: "NO_FILE", notExecutable: "NOT_EXECUTABLE", failed: "FAILED",
	abnormalTermination: "ABNORMAL_TERMINATION", spawnError: "SPAWN_ERROR", alreadyStarted: "ALREADY_STARTED",
	notRunning: "NOT_RUNNING", success: "SUCCESS", alreadyAdded: "ALREADY_ADDED", stillRunning: "STILL_RUNNING",
	cantReread: "CANT_REREAD",
}

// fault is the answer of a call that failed.
type fault struct {
	code   faultCode
	detail string // what it is about, "" for nothing
}

// Error is the faultString: clients know faults by it as well as by the code.
func (f *fault) Error() string {
	if f.detail == "" {
		return faultNames[f.code]
	}
	return faultNames[f.code] + ": " + f.detail
}

func faultf(code faultCode, format string, args ...any) error {
	return &fault{code, fmt.Sprintf(format, args...)}
}
