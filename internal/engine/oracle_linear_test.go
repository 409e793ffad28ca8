package engine_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// cell is one key of one dataset, which the checker looks at by itself.
type cell struct {
	dataset string
	key     int
}

// access is what a client asks of a cell.
type access struct {
	cell
	write bool
	value int // written; absent for a delete
}

const absent = -1

// cells is a register for each cell: a read gives what was last written.
var cells = porcupine.Model{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		by := map[cell][]porcupine.Operation{}
		for _, op := range history {
			c := op.Input.(access).cell
			by[c] = append(by[c], op)
		}
		out := make([][]porcupine.Operation, 0, len(by))
		for _, ops := range by {
			out = append(out, ops)
		}
		return out
	},
	Init: func() any { return absent },
	Step: func(state, input, output any) (bool, any) {
		if a := input.(access); a.write {
			return true, a.value
		}
		return output.(int) == state.(int), state
	},
	DescribeOperation: func(input, output any) string {
		a := input.(access)
		if a.write {
			return fmt.Sprintf("%s/%d = %d", a.dataset, a.key, a.value)
		}
		return fmt.Sprintf("%s/%d is %d", a.dataset, a.key, output)
	},
}

// recorder takes down what clients asked and heard.
type recorder struct {
	began time.Time
	mu    struct {
		sync.Mutex
		history []porcupine.Operation
	}
}

func (r *recorder) now() int64 { return int64(time.Since(r.began)) }

func (r *recorder) add(op porcupine.Operation) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.history = append(r.mu.history, op)
}

// linearShape is a lake that clients race on: a setting of everything that decides
// where an answer comes from.
func linearShape(random *rand.Rand, o *engine.Options) {
	pick := func(of ...int64) int64 { return of[random.IntN(len(of))] }
	s := &o.Settings
	s.CacheBytes, s.ResultCacheBytes = pick(engine.NoCache, 600<<10, 1<<30), pick(engine.NoCache, 0)
	s.SpoolBytes, s.LargeDeltaBytes, s.TargetFileBytes = pick(0, 60), pick(0, 1, 2500), pick(0, 1)
	s.CompactDeadShare, s.IcebergFormatVersion = []float64{0, 0.3}[random.IntN(2)], int(pick(2, 3))
	s.CompactAuto, s.CompactInterval, s.CompactDeltas = true, 5*time.Millisecond, int(pick(3, 1_000_000))
	if random.IntN(2) == 0 {
		noRetention(s)
		s.UpkeepInterval = 20 * time.Millisecond
	}
}

// TestI1I2Linear races clients over a few keys of several datasets, under random
// settings, with compactions, killed workers and restarts under other settings; what
// each client saw must be explained by one order of all that was done to a key in
// which nothing comes before what had ended when it began. TARN_LINEAR_SEEDS checks
// so many histories.
func TestI1I2Linear(t *testing.T) {
	usual := 8
	if testing.Short() {
		usual = 3
	}
	first := rand.Uint64()
	t.Logf("seed %d", first)
	operations := 0
	for i := range numberFrom(t, "TARN_LINEAR_SEEDS", usual) {
		operations += linearHistory(t, first+uint64(i))
	}
	t.Logf("%d operations", operations)
}

const linearKeys, linearClients, linearLives = 3, 6, 2

func linearHistory(t *testing.T, seed uint64) int {
	random := rand.New(rand.NewPCG(seed, 3))
	dir := t.TempDir()
	datasets := []string{"a", "b"}
	r := &recorder{began: time.Now()}
	var values atomic.Int64
	var others []string // rows that nobody changes: with them rows are held until all keys have changed, and again
	for id := range 16 {
		others = append(others, fmt.Sprintf(`{"id":%d,"v":0}`, 1000+id))
	}
	inBucket := func(*engine.Options) {}
	if random.IntN(3) == 0 {
		inBucket = inMemory(memoryBucket(t), dir)
	}
	for life := range linearLives {
		o := openLake(t, dir, func(o *engine.Options) { linearShape(random, o) }, inBucket)
		if life == 0 {
			for _, d := range datasets {
				o.create(d, schema(t, []string{"id"}, "id BIGINT", "v BIGINT"))
				o.change(d, engine.OpUpsert, others...)
			}
		}
		end := make(chan struct{})
		var clients, beside sync.WaitGroup
		for c := range linearClients {
			own := rand.New(rand.NewPCG(seed, uint64(100*life+c)))
			clients.Go(func() {
				for range 25 {
					a := access{cell: cell{datasets[own.IntN(len(datasets))], own.IntN(linearKeys)}}
					if a.write = own.IntN(2) == 0; a.write {
						a.value = int(values.Add(1))
						if own.IntN(4) == 0 {
							a.value = absent
						}
					}
					if err := r.ask(o, c, a, own); err != nil {
						t.Errorf("seed %d: %+v: %v", seed, a, err)
						return
					}
				}
			})
		}
		beside.Go(func() {
			for n := 0; !closed(end); n++ {
				d := datasets[n%len(datasets)]
				var err error
				switch n % 4 {
				case 0:
					_, err = o.CachePin(context.Background(), parsed(d))
				case 1:
					_, err = o.CacheEvict(context.Background(), parsed(d))
				case 2:
					_, err = o.tryCompact(d)
				default:
					if n%8 == 3 {
						o.KillWorker()
					}
				}
				if err != nil && !beaten(err) {
					t.Errorf("seed %d: beside: %v", seed, err)
				}
			}
		})
		clients.Wait()
		close(end)
		beside.Wait()
		o.close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch porcupine.CheckOperationsTimeout(cells, r.mu.history, time.Minute) {
	case porcupine.Illegal:
		t.Errorf("seed %d: no order explains what the clients saw", seed)
		r.explain(t)
	case porcupine.Unknown:
		t.Errorf("seed %d: the checker found no answer in a minute", seed)
	}
	return len(r.mu.history)
}

// explain says what happened to the cells that no order explains.
func (r *recorder) explain(t *testing.T) {
	for _, ops := range cells.Partition(r.mu.history) {
		if porcupine.CheckOperations(cells, ops) {
			continue
		}
		for _, op := range ops {
			t.Logf("client %d, %d to %d µs: %s", op.ClientId, op.Call/1000, op.Return/1000, cells.DescribeOperation(op.Input, op.Output))
		}
	}
}

// beaten are the ends of a pin, an eviction or a compaction that others explain.
func beaten(err error) bool {
	switch lake.CodeOf(err) {
	case lake.CodeWorkerDied, lake.CodeNotReady, lake.CodeCancelled, lake.CodeDeadline, lake.CodeCacheFull, lake.CodeOverloaded:
		return true
	}
	return false
}

// ask does one access and takes it down. A read that failed saw nothing; a change of
// which nothing is known may take effect at any time, or never.
func (r *recorder) ask(o *opened, client int, a access, random *rand.Rand) error {
	op := porcupine.Operation{ClientId: client, Input: a, Output: absent, Call: r.now()}
	var err error
	if a.write {
		err = o.writeCell(a, random)
	} else {
		op.Output, err = o.readCell(a.cell, random)
	}
	op.Return = r.now()
	switch {
	case err == nil:
	case a.write && errors.Is(err, lake.ErrUnknownOutcome):
		op.Return = 1 << 62
	case !a.write && beaten(err):
		return nil
	default:
		return err
	}
	r.add(op)
	return nil
}

func (o *opened) writeCell(a access, random *rand.Rand) error {
	op, line := engine.OpUpsert, fmt.Sprintf(`{"id":%d,"v":%d}`, a.key, a.value)
	if a.value == absent {
		op, line = engine.OpDelete, fmt.Sprintf(`{"id":%d}`, a.key)
	}
	lines := []string{line}
	if op == engine.OpUpsert && random.IntN(3) == 0 { // the latest change of a key wins
		lines = append([]string{fmt.Sprintf(`{"id":%d,"v":-7}`, a.key)}, lines...)
	}
	_, err := o.changeWith(context.Background(), a.dataset, op, "", lines...)
	return err
}

// readCell reads a value in one of the ways that there are.
func (o *opened) readCell(c cell, random *rand.Rand) (int, error) {
	var got []string
	var err error
	switch random.IntN(6) {
	case 0:
		var body []byte
		body, _, err = o.Row(context.Background(), parsed(c.dataset), strconv.Itoa(c.key))
		if lake.CodeOf(err) == lake.CodeRowNotFound {
			return absent, nil
		}
		got = []string{string(body)}
	case 1: // of all keys, so that images and tails are read whole
		got, err = o.tryRows(fmt.Sprintf("select coalesce(max(v) filter (where id = %d), %d) from %s", c.key, absent, c.dataset))
	case 2:
		var a *engine.Answer
		a, err = o.Query(context.Background(), engine.QueryRequest{SQL: fmt.Sprintf("select v from %s where id = %d", c.dataset, c.key), Format: rows.OutJSON, Fresh: true})
		if err == nil {
			got, err = rowsOf(a)
		}
	case 3:
		got, err = o.tryRows(fmt.Sprintf("select v from %s where id = %d", c.dataset, c.key))
	default: // a read by key, which rows that are held may answer
		got, err = o.tryRows(fmt.Sprintf("select * from %s where id = %d", c.dataset, c.key))
	}
	switch {
	case err != nil:
		return 0, err
	case len(got) == 0:
		return absent, nil
	case len(got) > 1:
		return 0, fmt.Errorf("%d rows of one key: %v", len(got), got)
	}
	digits := strings.TrimRight(got[0][max(strings.LastIndexAny(got[0], ":,["), -1)+1:], "]} \n")
	return strconv.Atoi(strings.TrimSpace(digits))
}
