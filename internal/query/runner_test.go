package query

import (
	"context"
	"testing"
	"time"

	"tarn/internal/lake"
)

// Where a query's time was up while it waited for memory, that is the answer; a
// cancellation is one whatever it waited for.
func TestWhatEndedAQuery(t *testing.T) {
	memory := lake.Errorf(lake.CodeOutOfMemory, "too little memory")
	late, stop := context.WithDeadline(t.Context(), time.Unix(1, 0))
	defer stop()
	cancelled, cancel := context.WithCancelCause(t.Context())
	cancel(errCancelled)
	for _, x := range []struct {
		ctx       context.Context
		err, want error
	}{
		{t.Context(), memory, memory},
		{late, memory, memory},
		{cancelled, memory, errCancelled},
	} {
		if got := explain(x.ctx, x.err, time.Second); got != x.want {
			t.Errorf("%v, not %v", got, x.want)
		}
	}
	if got := explain(late, lake.Errorf(lake.CodeInternal, "x"), time.Second); lake.CodeOf(got) != lake.CodeDeadline {
		t.Error(got)
	}
}
