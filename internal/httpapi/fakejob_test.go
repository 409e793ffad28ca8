package httpapi_test

import (
	"reflect"
	"sync"
	"time"

	"tarn/internal/engine"
)

// newJob makes a job of the engine's without an engine, by way of its private
// fields: the door gives jobs as a concrete type that only the engine starts.
// end ends it.
func newJob(info engine.JobInfo) (job *engine.Job, end func(state engine.JobState, result any, err error)) {
	job = &engine.Job{}
	v := reflect.ValueOf(job).Elem()
	done := make(chan struct{})
	private(v.FieldByName("done")).Set(reflect.ValueOf(done))
	public := private(v.FieldByName("mu").FieldByName("info")).Addr().Interface().(*engine.JobInfo)
	lock := private(v.FieldByName("mu").FieldByName("Mutex")).Addr().Interface().(*sync.Mutex)
	*public = info
	return job, func(state engine.JobState, result any, err error) {
		now := time.Date(2024, 1, 2, 3, 4, 6, 0, time.UTC)
		lock.Lock()
		defer lock.Unlock()
		public.State, public.Result, public.Err, public.Ended = state, result, err, &now
		close(done)
	}
}

// private makes an unexported field settable.
func private(f reflect.Value) reflect.Value {
	return reflect.NewAt(f.Type(), f.Addr().UnsafePointer()).Elem()
}
