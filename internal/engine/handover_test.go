package engine_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/engine"
	"tarn/internal/handover"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// standIn is a cluster that answers with the numbers from 1 to count, in batches of two.
type standIn struct {
	count int64
	fails error          // after the batches
	hang  bool           // until the query's context ends, after the batches
	types arrow.DataType // of the column; nil is BIGINT

	mu struct {
		sync.Mutex
		asked  []handover.Query
		closed int
	}
}

func (*standIn) Name() string { return handover.Spark }
func (*standIn) Close() error { return nil }

func (c *standIn) Query(ctx context.Context, q handover.Query) (handover.Answer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.asked = append(c.mu.asked, q)
	typ := c.types
	if typ == nil {
		typ = arrow.PrimitiveTypes.Int64
	}
	return &standInAnswer{c: c, ctx: ctx, schema: arrow.NewSchema([]arrow.Field{{Name: "n", Type: typ}}, nil)}, nil
}

type standInAnswer struct {
	c      *standIn
	ctx    context.Context
	schema *arrow.Schema
	n      int64
}

func (a *standInAnswer) Schema() *arrow.Schema { return a.schema }

func (a *standInAnswer) Next() (arrow.RecordBatch, error) {
	if a.n >= a.c.count {
		if a.c.hang {
			<-a.ctx.Done()
			return nil, a.ctx.Err()
		}
		if a.c.fails != nil {
			return nil, a.c.fails
		}
		return nil, io.EOF
	}
	b := array.NewRecordBuilder(memory.DefaultAllocator, a.schema)
	defer b.Release()
	for range min(2, a.c.count-a.n) {
		a.n++
		b.Field(0).(*array.Int64Builder).Append(a.n)
	}
	return b.NewRecordBatch(), nil
}

func (a *standInAnswer) Close() {
	a.c.mu.Lock()
	defer a.c.mu.Unlock()
	a.c.mu.closed++
}

func withCluster(c *standIn, change ...func(*engine.Settings)) func(*engine.Options) {
	return func(o *engine.Options) {
		o.Brief, o.Clusters = true, map[string]handover.Cluster{handover.Spark: c}
		for _, f := range change {
			f(&o.Settings)
		}
	}
}

// handedOver asks a query of an engine, and gives its text.
func (o *opened) handedOver(by, sql string, change ...func(*engine.QueryRequest)) (a *engine.Answer, text string, err error) {
	o.t.Helper()
	r := engine.QueryRequest{SQL: sql, Format: rows.OutCSV, Engine: by}
	for _, f := range change {
		f(&r)
	}
	a, err = o.Query(context.Background(), r)
	if err != nil {
		return nil, "", err
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	return a, string(b), err
}

// TestHandOver: the gate judges, what is pending is folded, and the answer says so.
func TestHandOver(t *testing.T) {
	c := &standIn{count: 5}
	o := filled(t, 100, withCluster(c))
	defer o.close()
	o.change("t", engine.OpUpsert, `{"id":1,"v":-1}`)
	about, err := o.Describe(t.Context(), name(t, "t"))
	if err != nil {
		t.Fatal(err)
	}
	if about.PendingRows == 0 {
		t.Fatal("nothing is pending")
	}
	a, text, err := o.handedOver(handover.Spark, "select v from t where id < ?", func(r *engine.QueryRequest) { r.Params = []byte("[3]") })
	if err != nil || text != "n\r\n1\r\n2\r\n3\r\n4\r\n5\r\n" || a.Tail().RowCount != 5 {
		t.Fatalf("%q, %v", text, err)
	}
	after, err := o.Describe(t.Context(), name(t, "t"))
	if err != nil {
		t.Fatal(err)
	}
	at := a.Head.ReadPoints["t"]
	if after.PendingRows != 0 || at.Sequence != about.ReadPoint.Sequence || at.TableUUID != about.ReadPoint.TableUUID || at.Snapshot == nil || *at.Snapshot != *after.ReadPoint.Snapshot {
		t.Errorf("read at %+v, then %+v", at, after)
	}
	if a.Head.ServedFrom["t"] != handover.Spark || a.Engine != handover.Spark || a.Again || len(o.Queries()) != 0 {
		t.Errorf("%+v, %v", a, o.Queries())
	}
	if got := c.mu.asked[0]; got.SQL != "select v from t where id < ?" || string(got.Params) != "[3]" || c.mu.closed != 1 {
		t.Errorf("asked %+v, closed %d", got, c.mu.closed)
	}
	// Kept answers are neither given nor taken.
	for range 2 {
		if a, _, err := o.handedOver(handover.Spark, "select count(*) from t"); err != nil || a.Again {
			t.Errorf("again: %+v, %v", a, err)
		}
	}
	if got := o.ask("select count(*) from t", rows.OutCSV); got.again || got.from == handover.Spark {
		t.Errorf("%+v", got)
	}
}

// TestHandOverRefused: what is no plain read, and what a token does not see, goes nowhere.
func TestHandOverRefused(t *testing.T) {
	c := &standIn{count: 1}
	o := filled(t, 10, withCluster(c))
	defer o.close()
	seen := lake.NewNameSet() // of nothing
	for _, q := range []struct {
		by, sql string
		visible *lake.NameSet
		code    lake.Code
	}{
		{handover.Spark, "select * from absent", nil, lake.CodeDatasetNotFound},
		{handover.Spark, "select * from t", seen, lake.CodeDatasetNotFound},
		{engine.EngineAuto, "select * from t", seen, lake.CodeDatasetNotFound},
		{handover.Spark, "show tables", nil, lake.CodeSQLRefused},
		{handover.Spark, "describe t", nil, lake.CodeSQLRefused},
		{handover.Spark, "explain select * from t", nil, lake.CodeSQLRefused},
		{handover.Spark, "select * from t at (sequence => 1)", nil, lake.CodeSQLRefused},
		{handover.Spark, "select * from read_csv('/etc/passwd')", nil, lake.CodeSQLRefused},
		{handover.Spark, "select", nil, lake.CodeSQLInvalid},
		{"duckdb", "select 1", nil, lake.CodeInvalidRequest},
		{handover.Trino, "select 1", nil, lake.CodeUnsupported},
	} {
		if _, text, err := o.handedOver(q.by, q.sql, func(r *engine.QueryRequest) { r.Visible = q.visible }); lake.CodeOf(err) != q.code {
			t.Errorf("%s: %q, %v, want %s", q.sql, text, err, q.code)
		}
	}
	if len(c.mu.asked) != 0 || len(o.Queries()) != 0 {
		t.Errorf("asked %v, running %v", c.mu.asked, o.Queries())
	}
}

// TestHandOverNone: without a cluster the error says what to do.
func TestHandOverNone(t *testing.T) {
	o := filled(t, 10, func(o *engine.Options) { o.Brief = true })
	defer o.close()
	for _, by := range []string{handover.Spark, handover.Trino, engine.EngineAuto} {
		if _, _, err := o.handedOver(by, "select 1"); lake.CodeOf(err) != lake.CodeUnsupported || !strings.Contains(lake.HintOf(err), "_url") {
			t.Errorf("%s: %v; %s", by, err, lake.HintOf(err))
		}
	}
}

// TestHandOverAuto: by the bytes of base and pending changes.
func TestHandOverAuto(t *testing.T) {
	c := &standIn{count: 1}
	o := filled(t, 1000, withCluster(c, func(s *engine.Settings) { s.HandoverBytes = 1 }))
	defer o.close()
	if a, _, err := o.handedOver(engine.EngineAuto, "select count(*) from t"); err != nil || a.Engine != handover.Spark {
		t.Errorf("of more than a byte: %+v, %v", a, err)
	}
	for _, sql := range []string{"select 1", "show tables", "describe t"} {
		if a, _, err := o.handedOver(engine.EngineAuto, sql); err != nil || a.Engine != "" {
			t.Errorf("%s: %+v, %v", sql, a, err)
		}
	}
	large := filled(t, 1000, withCluster(&standIn{}, func(s *engine.Settings) { s.HandoverBytes = 1 << 40 }))
	defer large.close()
	for i := range 2 {
		if a, text, err := large.handedOver(engine.EngineAuto, "select count(*) from t"); err != nil || a.Engine != "" || !strings.Contains(text, "1000") || a.Again != (i == 1) {
			t.Errorf("of less than the threshold: %+v, %q, %v", a, text, err)
		}
	}
}

// TestHandOverUnfolded: where nothing is folded, the read point says how far the base goes.
func TestHandOverUnfolded(t *testing.T) {
	o := filled(t, 10, withCluster(&standIn{count: 1}, func(s *engine.Settings) { s.IcebergFold = engine.FoldOff }))
	defer o.close()
	o.change("t", engine.OpUpsert, `{"id":1,"v":-1}`)
	about, err := o.Describe(t.Context(), name(t, "t"))
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := o.handedOver(handover.Spark, "select * from t")
	if err != nil {
		t.Fatal(err)
	}
	if at := a.Head.ReadPoints["t"].Sequence; at != about.FoldedThrough || at >= about.ReadPoint.Sequence {
		t.Errorf("read at %d, folded through %d, newest %d", at, about.FoldedThrough, about.ReadPoint.Sequence)
	}
}

// TestHandOverEnds: an error within, a type without a spelling, a time that is up, a cancel.
func TestHandOverEnds(t *testing.T) {
	c := &standIn{count: 3, fails: lake.Errorf(lake.CodeEngineFailed, "cut")}
	o := filled(t, 10, withCluster(c))
	defer o.close()
	if a, text, err := o.handedOver(handover.Spark, "select * from t"); lake.CodeOf(err) != lake.CodeEngineFailed {
		t.Errorf("an error within: %+v, %q, %v", a, text, err)
	}
	c.fails, c.types, c.count = nil, arrow.FixedWidthTypes.Duration_s, 0
	if _, _, err := o.handedOver(handover.Spark, "select * from t"); lake.CodeOf(err) != lake.CodeUnsupported {
		t.Errorf("an unknown type: %v", err)
	}
	c.types, c.count, c.hang = nil, 1, true
	if _, _, err := o.handedOver(handover.Spark, "select * from t", func(r *engine.QueryRequest) { r.Timeout = 200 * time.Millisecond }); lake.CodeOf(err) != lake.CodeDeadline {
		t.Errorf("its time was up: %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		_, _, err := o.handedOver(handover.Spark, "select * from t", func(r *engine.QueryRequest) { r.ID = "mine" })
		ended <- err
	}()
	for {
		if _, err := o.CancelQuery("mine"); err == nil {
			break
		}
		select {
		case err := <-ended:
			t.Fatalf("it ended by itself: %v", err)
		case <-time.After(time.Millisecond):
		}
	}
	if err := <-ended; lake.CodeOf(err) != lake.CodeCancelled {
		t.Errorf("cancelled: %v", err)
	}
	if c.mu.closed != len(c.mu.asked) || len(o.Queries()) != 0 {
		t.Errorf("%d asked, %d closed, running %v", len(c.mu.asked), c.mu.closed, o.Queries())
	}
}
