package engine

import (
	"runtime"
	"sync/atomic"
	"time"
)

// quietAfter is how long nobody has asked or changed anything when a job may take
// all cores.
const quietAfter = time.Second

// lastAsked is when somebody last asked or changed something.
type lastAsked struct{ unixNano atomic.Int64 }

func (l *lastAsked) mark() { l.unixNano.Store(time.Now().UnixNano()) }

func (l *lastAsked) ago() time.Duration {
	return time.Duration(time.Now().UnixNano() - l.unixNano.Load())
}

// jobThreads is how many threads a job may use now: those of the setting while
// somebody asks or changes something, else all cores.
func (e *Engine) jobThreads() int {
	if e.asked.ago() < quietAfter || e.queries.Busy() {
		return e.set.JobThreads
	}
	return max(e.set.JobThreads, runtime.NumCPU())
}
