//go:build !linux

package walls

import (
	"errors"
	"runtime"
)

// errOther is why there are no walls here.
var errOther = errors.New("tarn knows none for " + runtime.GOOS)

// limit does what every Unix can. The end of its standard input tells the process
// that its parent is gone.
func limit(p Plan, r *Report) {
	noCoreFiles(r)
	if p.DataLimitBytes > 0 {
		r.lacks("memory limit", errOther)
	}
}

func confine(_ Plan, r *Report) {
	r.lacks("Landlock", errOther)
	r.lacks("seccomp", errOther)
}
