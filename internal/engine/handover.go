package engine

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"tarn/internal/dataset"
	"tarn/internal/handover"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/rows"
	"tarn/internal/worker"
)

// What QueryRequest.Engine can be, besides the names of clusters.
const (
	EngineHere = "tarn" // this server
	EngineAuto = "auto" // a cluster, where the datasets have more than Settings.HandoverBytes; else this server
)

// Engines are the names that a query can ask for.
func Engines() []string { return []string{EngineHere, EngineAuto, handover.Spark, handover.Trino} }

// NoEngine is the error for a name that is not among Engines.
func NoEngine(name string) error {
	return lake.Errorf(lake.CodeInvalidRequest, "there is no engine %q", name).WithHint("engine is one of %s", strings.Join(Engines(), ", "))
}

// queryBy runs a read by the engine that it asks for.
func (e *Engine) queryBy(ctx context.Context, r QueryRequest) (*Answer, error) {
	switch {
	case r.Engine == "" || r.Engine == EngineHere:
		return e.query(ctx, r)
	case !slices.Contains(Engines(), r.Engine):
		return nil, NoEngine(r.Engine)
	}
	cluster, err := e.clusterFor(r.Engine)
	if err != nil {
		return nil, err
	}
	return e.handOver(ctx, r, cluster)
}

// clusterFor is the cluster that an engine's name stands for: of auto, Spark where there
// are both.
func (e *Engine) clusterFor(name string) (handover.Cluster, error) {
	if name == EngineAuto {
		for _, c := range slices.Sorted(maps.Keys(e.opts.Clusters)) {
			return e.opts.Clusters[c], nil
		}
		return nil, lake.Errorf(lake.CodeUnsupported, "engine=auto: no cluster is configured that a query could be handed over to").
			WithHint("the server's settings spark_url or trino_url name one; without engine the query is answered here")
	}
	if c := e.opts.Clusters[name]; c != nil {
		return c, nil
	}
	return nil, lake.Errorf(lake.CodeUnsupported, "engine=%s: no such cluster is configured", name).
		WithHint("the server's setting %s_url names it; without engine the query is answered here", name)
}

// handOver has a cluster answer a query. The gate judges the text as any other; what is
// pending of the datasets that it names is folded, as for an Iceberg program that loads
// them; the read points say up to where. With EngineAuto a query may stay here.
func (e *Engine) handOver(ctx context.Context, r QueryRequest, cluster handover.Cluster) (_ *Answer, err error) {
	began := time.Now()
	st, err := e.queries.Begin(ctx, r.ID, r.Owner, r.SQL, r.Timeout)
	if err != nil {
		return nil, err
	}
	r.ID = st.ID()
	defer func() {
		if err != nil {
			err = st.Explain(err)
			st.End()
			e.metrics.queried(time.Since(began), err)
		}
	}()
	checked, err := e.check(st.Context, r, time.Until(st.Deadline))
	if err != nil {
		return nil, err
	}
	members, err := e.membersOf(checked.Datasets)
	if err != nil {
		return nil, err
	}
	if r.Engine == EngineAuto && (!checked.Select || checked.AsOf || scanBytes(members) <= e.set.HandoverBytes) {
		st.End() // its id is free for the query that takes its place
		return e.query(ctx, r)
	}
	if err := mayGo(checked, cluster.Name()); err != nil {
		return nil, err
	}
	if err := st.Away(); err != nil {
		return nil, err
	}
	head, err := e.foldForCluster(st.Context, members, cluster.Name())
	if err != nil {
		return nil, err
	}
	st.Turn()
	rowsOf, err := cluster.Query(st.Context, handover.Query{SQL: r.SQL, Params: r.Params})
	if err != nil {
		return nil, err
	}
	a := &awayAnswer{e: e, st: st, rows: rowsOf, began: began}
	a.enc = rows.NewEncoder(r.Format, &a.buf)
	columns, err := handover.Columns(rowsOf.Schema())
	if err == nil {
		err = a.enc.Begin(columns, rowsOf.Schema(), head)
	}
	if err != nil {
		rowsOf.Close()
		return nil, err
	}
	return &Answer{
		ID: r.ID, Engine: cluster.Name(), ContentType: r.Format.ContentType(), Columns: columns, Head: head, Body: a, Tail: func() rows.Tail { return a.tail }, Deadline: st.Deadline,
	}, nil
}

// mayGo refuses what no cluster can answer as tarn would.
func mayGo(checked lake.Checked, cluster string) error {
	switch {
	case !checked.Select:
		return lake.Errorf(lake.CodeSQLRefused, "%s is not handed over: engine=%s takes a SELECT", strings.ToUpper(checked.Kind), cluster).
			WithHint("ask without engine")
	case checked.AsOf:
		return lake.Errorf(lake.CodeSQLRefused, "a query of datasets as they were (AT) is not handed over").
			WithHint("ask without engine")
	}
	for _, name := range checked.Datasets {
		if clusterNames[strings.ToLower(name.Namespace)] {
			return lake.Errorf(lake.CodeUnsupported, "the namespace %s means something else to %s", name.Namespace, cluster).
				WithHint("rename %s, or ask without engine", name)
		}
	}
	return nil
}

// clusterNames are namespaces that a cluster takes for its own.
var clusterNames = map[string]bool{"spark_catalog": true, "global_temp": true, "session": true, "builtin": true}

// check asks the gate, in the worker.
func (e *Engine) check(ctx context.Context, r QueryRequest, timeout time.Duration) (out lake.Checked, err error) {
	if timeout <= 0 {
		return out, context.DeadlineExceeded
	}
	res, err := e.queries.Run(ctx, worker.QueryRequest{SQL: r.SQL, Check: true, Visible: r.Visible, Owner: r.Owner, Format: rows.OutNDJSON, Within: true}, timeout)
	if err != nil {
		return out, err
	}
	defer res.Close()
	text, err := io.ReadAll(res)
	if err != nil {
		return out, err
	}
	var row struct{ Checked string }
	if err := json.Unmarshal(text, &row); err != nil {
		return out, lake.Errorf(lake.CodeInternal, "what the gate says does not parse: %w", err)
	}
	return out, json.Unmarshal([]byte(row.Checked), &out)
}

func (e *Engine) membersOf(names []lake.Name) ([]*member, error) {
	out := make([]*member, len(names))
	for i, name := range names {
		var err error
		if out[i], err = e.member(name); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// scanBytes is what a query of these datasets may have to read: all their base files and
// pending changes.
func scanBytes(members []*member) (n int64) {
	for _, m := range members {
		s := m.ds.State()
		_, base := s.BaseSize()
		n += base
		for _, d := range s.Pending() {
			n += d.Bytes
		}
	}
	return n
}

// foldForCluster folds what is pending of a query's datasets and gives the head of the
// answer. The cluster loads the tables after this: what it reads has at least what the
// read points say.
func (e *Engine) foldForCluster(ctx context.Context, members []*member, cluster string) (rows.Head, error) {
	head := rows.Head{ReadPoints: map[string]lake.Place{}, ServedFrom: map[string]string{}}
	for _, m := range members {
		s, _, err := e.foldAsked(ctx, m, m.ds.State().Name)
		if err != nil {
			return head, err
		}
		head.ReadPoints[s.Name.String()], head.ServedFrom[s.Name.String()] = basePlace(s), cluster
	}
	return head, nil
}

// basePlace is where the base of a dataset stands.
func basePlace(s *dataset.State) lake.Place {
	p := s.Place()
	p.Sequence = wholeThrough(s)
	return p
}

// awayAnswer is a cluster's answer, encoded as it is read: a batch at a time.
type awayAnswer struct {
	e     *Engine
	st    *query.Statement
	rows  handover.Answer
	enc   rows.Encoder
	buf   bytes.Buffer
	began time.Time
	tail  rows.Tail
	err   error // what Read gives once the buffer is empty
	ended bool  // the metrics know
}

// Read implements io.Reader.
func (a *awayAnswer) Read(p []byte) (int, error) {
	for a.buf.Len() == 0 && a.err == nil {
		if a.err = a.step(); a.err != nil {
			a.end(a.err)
		}
	}
	if a.buf.Len() > 0 {
		return a.buf.Read(p)
	}
	return 0, a.err
}

// step encodes the next batch; io.EOF at the end.
func (a *awayAnswer) step() error {
	rec, err := a.rows.Next()
	if err == io.EOF {
		a.tail.ElapsedMS = float64(time.Since(a.began).Microseconds()) / 1000
		if err := a.enc.End(a.tail); err != nil {
			return err
		}
		return io.EOF
	}
	if err != nil {
		return a.st.Explain(err)
	}
	defer rec.Release()
	a.tail.RowCount += rec.NumRows()
	return a.enc.Write(rec)
}

func (a *awayAnswer) end(err error) {
	if a.ended {
		return
	}
	a.ended = true
	if err == io.EOF {
		err = nil
	}
	a.e.metrics.queried(time.Since(a.began), err)
}

// Close implements io.Closer: a query that still runs is ended, in the cluster too.
func (a *awayAnswer) Close() error {
	a.end(lake.Errorf(lake.CodeCancelled, "the answer was closed"))
	a.rows.Close()
	a.st.End()
	return nil
}
