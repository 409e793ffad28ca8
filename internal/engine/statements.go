package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/keys"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
	"tarn/internal/worker"
)

// StatementRequest is one INSERT, UPDATE, DELETE or MERGE.
type StatementRequest struct {
	SQL         string              // as it came
	Statement   *sqlwrite.Statement // what sqlwrite.Parse made of it
	Params      json.RawMessage     // an array for ? and $1, an object for $name, or nil
	Timeout     time.Duration       // of all but the commit; 0: the setting's
	ID          string              // of /queries/{id}, unique; "": one is made
	Owner       string              // "" where nobody is asked who he is
	Visible     *lake.NameSet       // the datasets that there are for what it reads; nil: all
	IfMatch     string              // the header's value, "" for none
	Out         rows.OutFormat      // of the rows of RETURNING
	Idempotency Idempotency
}

// StatementResult is the answer to a statement that was done, or with Explain to its
// dry run.
type StatementResult struct {
	Statement string         `json:"statement" enum:"insert,update,delete,merge"`
	Explain   bool           `json:"explain,omitempty" doc:"nothing was changed: so many rows would be"`
	Rows      int64          `json:"rows" doc:"rows inserted, updated and deleted; 0: there is no new delta"`
	Sequence  int64          `json:"sequence"`
	ReadPoint lake.ReadPoint `json:"read_point"`
	ETag      string         `json:"-"`
	// Returned are the rows of RETURNING, to be closed. It is nil where there are none:
	// without RETURNING, of a dry run, and of a statement that was done before under
	// its Idempotency-Key, as its rows are not kept.
	Returned *Answer `json:"-"`
}

// Execute runs a statement: it reads at the newest state of its target, while other
// changes of that wait, and commits what it read as one delta, or nothing.
func (e *Engine) Execute(ctx context.Context, r StatementRequest) (StatementResult, error) {
	e.asked.mark()
	if err := e.mayWrite(); err != nil {
		return StatementResult{}, err
	}
	if err := e.mayRead(); err != nil {
		return StatementResult{}, err
	}
	m, err := e.member(r.Statement.Target)
	if err != nil {
		return StatementResult{}, err
	}
	turn, err := e.queries.Begin(ctx, r.ID, r.Owner, r.SQL, r.Timeout)
	if err != nil {
		return StatementResult{}, err
	}
	defer turn.End()
	x := &execution{e: e, r: r, m: m, turn: turn}
	res, err := x.run(ctx)
	if err != nil {
		x.returned.drop()
		e.notice(err)
		return StatementResult{}, lake.Step(string(r.Statement.Verb)+" "+r.Statement.Target.String(), turn.Explain(err))
	}
	res.Statement, res.Explain = string(r.Statement.Verb), r.Statement.Explain
	res.Returned = x.returned.take().answer(res, r.ID, turn.Another())
	return res, nil
}

// execution is one statement under way.
type execution struct {
	e    *Engine
	r    StatementRequest
	m    *member
	turn *query.Statement
	txn  *transaction // that it is part of; nil: none

	returned returnedPlace
	counted  atomic.Int64 // rows of the last read, where it is mixed
}

func (x *execution) run(ctx context.Context) (StatementResult, error) {
	if x.r.Statement.Explain {
		return x.dryRun()
	}
	s := x.m.ds.State()
	q := change.Request{Name: x.r.Statement.Target, UUID: s.UUID, IfMatch: x.r.IfMatch, Key: x.r.Idempotency.stored()}
	if q.Key != "" {
		q.Hash = requestHash(x.r.Idempotency, sqlAsked(x.r.SQL, x.r.Params))
	}
	if x.byPlace(s) {
		if err := notAttached(s, "a change of rows without a primary key"); err != nil {
			return StatementResult{}, err
		}
		return x.rewrite(ctx, q)
	}
	if q.Key != "" && !s.Schema.Keyed() && x.e.rewroteBy(q.Key) {
		return StatementResult{}, reusedKey(x.r.Idempotency) // it was no INSERT
	}
	ack, err := x.m.committer.SubmitPrepared(ctx, x.turn.Context, q, func(ctx context.Context, s *dataset.State) (change.Request, error) {
		return x.prepare(ctx, s, q)
	})
	if err != nil {
		return StatementResult{}, err
	}
	x.e.metrics.changed(s.Name, ack.Rows)
	return x.done(ack), nil
}

// done is the answer to a statement that was committed.
func (x *execution) done(ack change.Acknowledged) StatementResult {
	return StatementResult{
		Statement: string(x.r.Statement.Verb), Rows: ack.Rows, Sequence: ack.ReadPoint.Sequence, ReadPoint: ack.ReadPoint, ETag: ack.ETag,
	}
}

// prepare reads what the statement changes, in the hand of the committer.
func (x *execution) prepare(ctx context.Context, s *dataset.State, q change.Request) (change.Request, error) {
	x.turn.Turn()
	read, err := x.read(ctx, s)
	if err != nil {
		return q, err
	}
	q.SchemaID = s.Schema.ID
	b, err := onceMore(func() (*body, error) { return x.body(ctx, s, read) })
	if err != nil {
		return q, err
	}
	err = b.goesWith(&q, x.decode(ctx, s, read, b, &q))
	return q, err
}

// maxAdded is how many times max_sql_bytes the read of a statement may have beyond its
// own text.
const maxAdded = 8

func (x *execution) read(ctx context.Context, s *dataset.State) (sqlwrite.Read, error) {
	statement := x.r.Statement
	if statement.NeedsNames() {
		names, err := x.names(ctx, s)
		if err == nil {
			statement, err = statement.Named(names, s.Schema)
		}
		if err != nil {
			return sqlwrite.Read{}, err
		}
	}
	read, err := sqlwrite.NewRead(statement, s.Name, s.Schema)
	if err == nil && len(x.r.Statement.Values) > 1 && int64(read.AddedBytes) > maxAdded*x.e.set.MaxSQLBytes {
		err = lake.Errorf(lake.CodeTooLarge, "the statement lists too many values").
			WithHint("send the rows to POST /datasets/%s/rows, or write all values of a column in one way", s.Name)
	}
	return read, err
}

// names asks the worker which columns the source of the statement has.
func (x *execution) names(ctx context.Context, s *dataset.State) ([]string, error) {
	a, in, err := x.open(ctx, s, sqlwrite.NamesRead(x.r.Statement))
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	names, err := rows.ArrowNames(ctx, in)
	return names, x.explain(err)
}

// open asks the worker for the rows of a read; they come as an Arrow stream of exactly
// the columns of what it gives.
func (x *execution) open(ctx context.Context, s *dataset.State, read sqlwrite.Read) (*Answer, io.Reader, error) {
	left := time.Until(x.turn.Deadline)
	if left <= 0 {
		return nil, nil, context.DeadlineExceeded
	}
	q := worker.QueryRequest{
		SQL: read.SQL, Params: x.r.Params, Format: rows.OutArrow, Visible: x.r.Visible, Owner: x.r.Owner, Within: true, AddedBytes: read.AddedBytes,
	}
	if read.Placed {
		q.Placed = s.Name
	}
	ask := func() (*Answer, error) { return x.e.run(ctx, q, left) }
	if x.txn != nil {
		ask = func() (*Answer, error) { return x.txn.ask(ctx, q) }
	}
	a, err := ask()
	if err != nil {
		return nil, nil, x.explain(err)
	}
	x.e.used(a.Head)
	in := io.Reader(cutReader{a.Body})
	x.counted.Store(0)
	if read.Flagged || read.Returned > 0 {
		if in, err = x.sift(ctx, s, read, a, in); err != nil {
			a.Body.Close()
			return nil, nil, err
		}
	}
	return a, in, nil
}

// sift takes the flags and the rows of RETURNING out of the answer of a read.
func (x *execution) sift(ctx context.Context, s *dataset.State, read sqlwrite.Read, a *Answer, in io.Reader) (io.Reader, error) {
	what := rows.Sifting{Returned: read.Returned}
	if read.Flagged {
		what.Flag = sqlwrite.FlagColumn
		what.Look = func(rec arrow.RecordBatch, row int, flag int32) error {
			if read.Placed {
				return flaggedPlace(s, flag)
			}
			return flagged(s, rec, row, flag)
		}
	}
	take := func(arrow.RecordBatch) error { return nil }
	what.Schema = func(*arrow.Schema) error { return nil }
	if read.Returned > 0 && !x.r.Statement.Explain {
		given := newReturned(x.e, x.r.Out, a.Head)
		x.returned.put(given)
		end := len(a.Columns)
		if read.Flagged {
			end--
		}
		if end < read.Returned {
			return nil, lake.Errorf(lake.CodeInternal, "a read came with %d columns", len(a.Columns))
		}
		columns := a.Columns[end-read.Returned : end]
		what.Schema = func(schema *arrow.Schema) error { return given.begin(columns, schema) }
		take, what.End = given.take, given.end
	}
	what.Take = func(whole, returned arrow.RecordBatch) error {
		if !read.Mixed || read.Placed {
			return take(returned)
		}
		n, err := eachCounted(whole.Column(len(s.Schema.Columns)), returned, take)
		x.counted.Add(n)
		return err
	}
	return rows.Sift(ctx, in, what), nil
}

// eachCounted gives the rows of a mixed read that the statement counts, in slices: all
// but the keys that rows had before.
func eachCounted(column arrow.Array, returned arrow.RecordBatch, take func(arrow.RecordBatch) error) (n int64, err error) {
	ops, ok := column.(*array.Int32)
	if !ok {
		return 0, lake.Errorf(lake.CodeInternal, "the operations of a read are of type %s", column.DataType())
	}
	moved := func(i int) bool { return ops.Value(i) == sqlwrite.OpMoved }
	for from := 0; from < ops.Len() && err == nil; {
		to := from + 1
		for to < ops.Len() && moved(to) == moved(from) {
			to++
		}
		if !moved(from) {
			n += int64(to - from)
			slice := returned.NewSlice(int64(from), int64(to))
			err = take(slice)
			slice.Release()
		}
		from = to
	}
	return n, err
}

// body is the answer of a read, whole: in memory, or above spool_bytes in scratch.
func (x *execution) body(ctx context.Context, s *dataset.State, read sqlwrite.Read) (*body, error) {
	a, in, err := x.open(ctx, s, read)
	if err != nil {
		return nil, err
	}
	defer a.Body.Close()
	b, err := x.e.readBodyWithin(ctx, x.e.made, in, math.MaxInt64-1, x.e.set.SpoolBytes)
	return b, x.explain(err)
}

// decode makes the changes of a read's answer, and sees that no row is changed twice.
func (x *execution) decode(ctx context.Context, s *dataset.State, read sqlwrite.Read, b *body, q *change.Request) error {
	op := OpUpsert
	switch {
	case read.Deletes:
		op = OpDelete
	case read.Mixed:
		op = OpChanges
	}
	if err := x.e.decodeBody(ctx, s, ChangeRequest{Op: op, Format: rows.ArrowStream}, b, q); err != nil {
		return err
	}
	if read.Deletes || !s.Schema.Keyed() {
		return nil
	}
	distinct := q.FileRows
	if q.File == "" {
		distinct = distinctKeys(s.Schema, q.Changes)
	}
	if distinct != q.Rows {
		return lake.Errorf(lake.CodeSQLInvalid, "the statement gives %d rows for %d keys", q.Rows, distinct).
			WithHint("each row can get one new value: SET takes no unnest")
	}
	if read.Mixed {
		q.Rows = x.counted.Load()
	}
	return nil
}

func distinctKeys(schema lake.Schema, changes []format.Changes) int64 {
	enc := keys.NewEncoder(schema.KeySchema(), schema.KeyIndexes())
	seen := map[string]struct{}{}
	var key []byte
	for _, c := range changes {
		for row := range int(c.Rows.NumRows()) {
			key = enc.Append(key[:0], c.Rows, row)
			seen[string(key)] = struct{}{}
		}
	}
	return int64(len(seen))
}

// flagged is the error of a row that may not be taken.
func flagged(s *dataset.State, rec arrow.RecordBatch, row int, flag int32) error {
	parts := make([]string, len(s.Schema.Key))
	for k, i := range s.Schema.KeyIndexes() {
		value := rec.Column(i).ValueStr(row)
		if len(value) > 100 {
			value = strings.ToValidUTF8(value[:100], "") + "…"
		}
		parts[k] = fmt.Sprintf("%s = %s", s.Schema.Key[k], value)
	}
	key := strings.Join(parts, ", ")
	switch flag {
	case sqlwrite.FlagExists:
		return lake.Errorf(lake.CodeKeyConflict, "%s has a row with the key %s already", s.Name, key).
			WithHint("ON CONFLICT DO NOTHING passes over such rows, ON CONFLICT DO UPDATE SET changes them")
	case sqlwrite.FlagTwice:
		return lake.Errorf(lake.CodeKeyConflict, "the statement gives two rows with the key %s", key)
	case sqlwrite.FlagAmbiguous:
		return lake.Errorf(lake.CodeSQLInvalid, "the statement gives several new values to the row with the key %s", key).
			WithHint("join so that each row meets one")
	case sqlwrite.FlagFailed:
		return lake.Errorf(lake.CodeSQLInvalid, "an arm THEN ERROR fits the row with the key %s", key)
	}
	return lake.Errorf(lake.CodeInternal, "a row has the flag %d", flag)
}

// dryRun counts what the statement would change now, and takes none of it.
func (x *execution) dryRun() (StatementResult, error) {
	ctx, s := x.turn.Context, x.m.ds.State()
	x.turn.Turn()
	read, err := x.read(ctx, s)
	if err != nil {
		return StatementResult{}, err
	}
	a, in, err := x.open(ctx, s, read)
	if err != nil {
		return StatementResult{}, err
	}
	defer a.Body.Close()
	n, err := x.count(ctx, s, read, in)
	if err != nil {
		return StatementResult{}, x.explain(err)
	}
	at := lake.ReadPoint{TableUUID: s.UUID, Sequence: s.Sequence}
	for _, p := range a.Head.ReadPoints {
		if p.TableUUID == s.UUID {
			at = p.ReadPoint
		}
	}
	return StatementResult{Rows: n, Sequence: at.Sequence, ReadPoint: at}, nil
}

// count reads the answer of a read to its end, and gives the rows that the statement
// would change.
func (x *execution) count(ctx context.Context, s *dataset.State, read sqlwrite.Read, in io.Reader) (int64, error) {
	o := rows.DecodeOptions{Schema: s.Schema, MaxRowBytes: int(x.e.set.MaxRowBytes)}
	switch {
	case read.Placed:
		o.Schema = job.Rewrite{Schema: s.Schema, Op: placedOp(read)}.ChangedSchema()
	case read.Mixed:
		d, err := rows.DecodeMixed(ctx, rows.ArrowStream, in, o)
		if err != nil {
			return 0, err
		}
		defer d.Close()
		for {
			b, err := d.Next()
			if err == io.EOF {
				return d.Rows(), nil
			}
			if err != nil {
				return 0, err
			}
			b.Rows.Release()
		}
	case read.Deletes:
		o.Schema = o.Schema.KeySchema()
	}
	d, err := rows.Decode(ctx, rows.ArrowStream, in, o)
	if err != nil {
		return 0, err
	}
	defer d.Close()
	for {
		rec, err := d.Next()
		if err == io.EOF {
			return d.Rows(), nil
		}
		if err != nil {
			return 0, err
		}
		rec.Release()
	}
}

// ownColumn is a column of a read that stands for one of the dataset.
var ownColumn = regexp.MustCompile(`_tarn_c([0-9]{1,6})`)

// ownName is the name of a part of a read among those that DuckDB proposes.
var ownName = regexp.MustCompile(`(, )?"([^"]*\.)?_tarn_[a-z0-9_]*"`)

// explain takes out of an error the lines that show the read, which is not the text
// that the client sent.
func (x *execution) explain(err error) error {
	var e *lake.Error
	if err == nil || !errors.As(err, &e) || e.Code != lake.CodeSQLInvalid {
		return err
	}
	out := *e
	out.Msg, _, _ = strings.Cut(e.Msg, "\n\nLINE ")
	out.Msg = ownColumn.ReplaceAllStringFunc(out.Msg, func(own string) string {
		i, err := strconv.Atoi(ownColumn.FindStringSubmatch(own)[1])
		if columns := x.m.ds.State().Schema.Columns; err == nil && i < len(columns) {
			return columns[i].Name
		}
		return own
	})
	out.Msg = ownName.ReplaceAllString(out.Msg, "")
	if strings.Contains(e.Msg, "same number of result columns") && x.r.Statement.Source != "" {
		out.Hint = "INSERT takes as many columns as it names, or as the dataset has"
	}
	return &out
}

// cutError is the error of an answer that broke off.
type cutError struct{ error }

func (c *cutError) Unwrap() error { return c.error }

// onceMore asks again where the worker died while its answer was read: it has told nobody
// anything.
func onceMore[T any](ask func() (T, error)) (T, error) {
	v, err := ask()
	if lake.CodeOf(err) == lake.CodeWorkerDied && errors.As(err, new(*cutError)) {
		return ask()
	}
	return v, err
}

// cutReader marks the errors of reading an answer.
type cutReader struct{ io.Reader }

func (r cutReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	if err != nil && err != io.EOF {
		err = &cutError{err}
	}
	return n, err
}
