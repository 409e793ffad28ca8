package serving

import (
	"context"
	"regexp"
	"strconv"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// Retry runs a query by run, which asks and hands the answer on, and runs it again where
// it ran out of memory beside other queries and sent says that nothing of the answer has
// left: when its turn comes, at read points of that time. The error is that of the last
// run, also where ctx ends before the next turn. caller tells callers apart. run passes
// its ctx on to Query and Get.
func (s *Serving) Retry(ctx context.Context, caller uint64, sent func() bool, run func(context.Context) error) error {
	a := s.lanes.enter(caller)
	defer s.lanes.leave(a)
	ctx = context.WithValue(ctx, attemptKey{}, a)
	for {
		err := run(ctx)
		if lake.CodeOf(err) != lake.CodeOutOfMemory || duck.IsFatal(err) {
			return err
		}
		if again := s.lanes.failed(a); !again || sent() || asked(err) > s.memoryBytes || !s.lanes.wait(ctx, a) {
			return err
		}
	}
}

type attemptKey struct{}

// takesMemory says that the query of a context does from now on.
func takesMemory(ctx context.Context) {
	if a, _ := ctx.Value(attemptKey{}).(*attempt); a != nil {
		a.lanes.run(a)
	}
}

// What DuckDB says of a piece of memory that it did not get.
var (
	askedInWords = regexp.MustCompile(`of size ([0-9.]+) (bytes?|[KMGTPE]iB)`)
	askedInBytes = regexp.MustCompile(`block of ([0-9]+) bytes`)
)

// asked is the size of the one piece of memory that an error says there was too little
// for, in bytes; 0 where it does not say. Who asks for more at once than there is gets
// it at no time.
func asked(err error) int64 {
	if m := askedInBytes.FindStringSubmatch(err.Error()); m != nil {
		n, _ := strconv.ParseInt(m[1], 10, 64) // 0 where it is no number
		return n
	}
	m := askedInWords.FindStringSubmatch(err.Error())
	if m == nil {
		return 0
	}
	n, _ := strconv.ParseFloat(m[1], 64)
	unit := map[byte]float64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40, 'P': 1 << 50, 'E': 1 << 60}[m[2][0]]
	return int64(n * max(unit, 1))
}
