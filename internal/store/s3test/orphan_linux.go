package s3test

import (
	"os/exec"
	"syscall"
)

// endWithUs has a server killed when the test process ends without its clean-up, as
// after a panic or a time-out.
func endWithUs(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} }
