package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/query"
	"tarn/internal/rows"
	"tarn/internal/sqlwrite"
	"tarn/internal/worker"
	"tarn/internal/workshop"
)

// TransactionRequest is BEGIN; statements that change rows; COMMIT. With ROLLBACK at its
// end it is a dry run.
type TransactionRequest struct {
	SQL         string                // as it came
	Transaction *sqlwrite.Transaction // what sqlwrite.ParseTransaction made of it
	Params      json.RawMessage       // of all of it: an array for ? and $1, an object for $name, or nil
	Timeout     time.Duration         // of all but the commit; 0: the setting's
	ID          string                // of /queries/{id}, unique; "": one is made
	Owner       string                // "" where nobody is asked who he is
	Visible     *lake.NameSet         // the datasets that there are for what it reads; nil: all
	Idempotency Idempotency
}

// TransactionResult is the answer to a transaction that was committed.
type TransactionResult struct {
	Statement  string                    `json:"statement" enum:"transaction"`
	Rows       int64                     `json:"rows" doc:"rows inserted, updated and deleted by all statements; 0: there is no new delta"`
	Statements []TransactionStatement    `json:"statements" doc:"in their order"`
	RolledBack bool                      `json:"rolled_back,omitempty" doc:"it ended with ROLLBACK: nothing was changed, so many rows would be"`
	ReadPoints map[string]lake.ReadPoint `json:"read_points" doc:"of each dataset that a statement changes: where it stands with the transaction in it"`
}

// TransactionStatement is what one statement of a transaction did.
type TransactionStatement struct {
	Statement string `json:"statement" enum:"insert,update,delete,merge"`
	Dataset   string `json:"dataset"`
	Rows      int64  `json:"rows"`
}

// ExecuteTransaction runs the statements of a transaction and commits what they changed,
// all of it or none. While it runs the datasets that it changes take no other change; all
// others it reads as they were when it had these. docs/design/transactions.md says what
// makes its deltas one.
func (e *Engine) ExecuteTransaction(ctx context.Context, r TransactionRequest) (TransactionResult, error) {
	e.asked.mark()
	if err := e.mayWrite(); err != nil {
		return TransactionResult{}, err
	}
	if err := e.mayRead(); err != nil {
		return TransactionResult{}, err
	}
	params, err := r.Transaction.Params(r.Params)
	if err != nil {
		return TransactionResult{}, err
	}
	x := &transaction{e: e, r: r, params: params, files: map[string]lake.InstantFiles{}}
	if err := x.targets(); err != nil {
		return TransactionResult{}, err
	}
	if x.turn, err = e.queries.Begin(ctx, r.ID, r.Owner, r.SQL, r.Timeout); err != nil {
		return TransactionResult{}, err
	}
	defer x.turn.End()
	res, err := x.run(ctx)
	if err != nil {
		e.notice(err)
		return TransactionResult{}, lake.Step("transaction", x.turn.Explain(err))
	}
	return res, nil
}

// transaction is one under way. From targets on it belongs to whoever holds the
// committers.
type transaction struct {
	e      *Engine
	r      TransactionRequest
	params []json.RawMessage // of each statement
	turn   *query.Statement

	targeted []*targeted // in the order in which the statements name them
	pad      *workshop.Scratchpad

	// What all of it reads: the lake when its datasets stood still.
	states map[string]*dataset.State    // by the key of the name
	files  map[string]lake.InstantFiles // of those that have moved on since, likewise
	let    []func()
}

// targeted is a dataset that a transaction changes.
type targeted struct {
	m    *member
	name lake.Name
	uuid string
	rows int64        // that its statements counted
	own  []lake.Delta // its own changes, in scratch
}

// targets finds the datasets that the statements change.
func (x *transaction) targets() error {
	for i, p := range x.r.Transaction.Parts {
		if x.target(p.Statement.Target) != nil {
			continue
		}
		m, err := x.e.member(p.Statement.Target)
		if err != nil {
			return lake.Step(statementName(i, p.Statement), err)
		}
		x.targeted = append(x.targeted, &targeted{m: m, name: p.Statement.Target, uuid: m.ds.State().UUID})
	}
	return nil
}

func (x *transaction) target(name lake.Name) *targeted {
	for _, t := range x.targeted {
		if t.name.Key() == name.Key() {
			return t
		}
	}
	return nil
}

// statementName is how errors name a statement of a transaction.
func statementName(i int, s *sqlwrite.Statement) string {
	return fmt.Sprintf("statement %d, %s %s", i+1, s.Verb, s.Target)
}

func (x *transaction) run(ctx context.Context) (TransactionResult, error) {
	q := change.Request{Name: x.targeted[0].name, Key: x.r.Idempotency.stored()}
	if q.Key != "" {
		q.Hash = requestHash(x.r.Idempotency, sqlAsked(x.r.SQL, x.r.Params))
		if x.e.rewroteBy(q.Key) {
			return TransactionResult{}, reusedKey(x.r.Idempotency)
		}
	}
	committers := make([]*change.Committer, len(x.targeted))
	for i, t := range x.targeted {
		committers[i] = t.m.committer
	}
	var counted []lake.TransactionStatement
	out, err := change.SubmitTogether(ctx, x.turn.Context, committers, q, func(ctx context.Context) ([]change.Part, []lake.TransactionStatement, error) {
		parts, statements, err := x.prepare(ctx, q)
		counted = statements
		return parts, statements, err
	})
	switch {
	case err != nil:
		return TransactionResult{}, err
	case out.Again != nil:
		return x.again(*out.Again)
	}
	res := x.result(counted)
	for _, ack := range out.Parts {
		t := x.targeted[slices.IndexFunc(x.targeted, func(t *targeted) bool { return t.uuid == ack.ReadPoint.TableUUID })]
		res.ReadPoints[t.name.String()] = ack.ReadPoint
		x.e.metrics.changed(t.name, ack.Rows)
	}
	return res, nil
}

// result is the answer as far as the statements say it; the datasets stand where they
// stood.
func (x *transaction) result(statements []lake.TransactionStatement) TransactionResult {
	res := TransactionResult{Statement: "transaction", RolledBack: x.r.Transaction.Rollback, Statements: []TransactionStatement{}, ReadPoints: map[string]lake.ReadPoint{}}
	for i, s := range statements {
		res.Rows += s.Rows
		res.Statements = append(res.Statements, TransactionStatement{
			Statement: s.Statement, Dataset: x.r.Transaction.Parts[i].Statement.Target.String(), Rows: s.Rows,
		})
	}
	for _, t := range x.targeted {
		if s := x.states[t.name.Key()]; s != nil {
			res.ReadPoints[t.name.String()] = s.ReadPoint()
		}
	}
	return res
}

// again answers a transaction that was done before under its Idempotency-Key, by what
// its delta in the first dataset says. The request is the same as then.
func (x *transaction) again(ack change.Acknowledged) (TransactionResult, error) {
	d := dataset.FindDelta(x.targeted[0].m.ds.State().Deltas, ack.ReadPoint.Sequence)
	if d == nil || d.Transaction == nil || len(d.Transaction.Statements) != len(x.r.Transaction.Parts) {
		return TransactionResult{}, lake.Errorf(lake.CodeUnavailable, "the transaction was done before, and what is known of it is going just now").
			WithHint("it is in: read the rows by SELECT")
	}
	res := x.result(d.Transaction.Statements)
	for i, s := range d.Transaction.Statements {
		for _, at := range d.Transaction.Deltas {
			if at.TableUUID == s.TableUUID {
				res.ReadPoints[x.r.Transaction.Parts[i].Statement.Target.String()] = lake.ReadPoint(at)
			}
		}
	}
	return res, nil
}

// prepare runs the statements, in the hand of the committers.
func (x *transaction) prepare(ctx context.Context, q change.Request) (parts []change.Part, statements []lake.TransactionStatement, err error) {
	x.turn.Turn()
	if x.pad, err = x.e.shop.NewScratchpad("transaction"); err != nil {
		return nil, nil, err
	}
	defer x.pad.Remove()
	defer x.letGo()
	if err := x.note(); err != nil {
		return nil, nil, err
	}
	for i, p := range x.r.Transaction.Parts {
		t := x.target(p.Statement.Target)
		n, err := x.statement(ctx, t, p.Statement, x.params[i])
		if err != nil {
			return nil, nil, lake.Step(statementName(i, p.Statement), err)
		}
		t.rows += n
		statements = append(statements, lake.TransactionStatement{Statement: string(p.Statement.Verb), TableUUID: t.uuid, Rows: n})
	}
	if x.r.Transaction.Rollback {
		return nil, statements, nil
	}
	parts, err = x.parts(ctx, q)
	return parts, statements, err
}

// note notes the lake as it is now, which is what all statements read.
func (x *transaction) note() error {
	var all []*dataset.State
	x.e.stream.Do(func() []lake.Entry {
		x.e.mu.RLock()
		defer x.e.mu.RUnlock()
		for _, m := range x.e.mu.byUUID {
			all = append(all, m.ds.State())
		}
		return nil
	})
	x.states = make(map[string]*dataset.State, len(all))
	for _, s := range all {
		x.states[s.Name.Key()] = s
	}
	for _, t := range x.targeted {
		if _, err := t.m.committer.Stands(t.name, t.uuid); err != nil {
			return err
		}
	}
	return nil
}

// statement runs one statement: its changes become a delta in scratch.
func (x *transaction) statement(ctx context.Context, t *targeted, s *sqlwrite.Statement, params json.RawMessage) (int64, error) {
	state := x.states[t.name.Key()]
	one := &execution{e: x.e, m: t.m, turn: x.turn, txn: x, r: StatementRequest{
		SQL: x.r.SQL, Statement: aliased(s), Params: params, ID: x.r.ID, Owner: x.r.Owner, Visible: x.r.Visible,
	}}
	if one.byPlace(state) {
		return 0, lake.Errorf(lake.CodeNoPrimaryKey, "%s has no primary key", t.name).
			WithHint("a change of its rows is a commit of its own: send the statement by itself; a transaction can insert into it")
	}
	q := change.Request{Name: t.name, UUID: t.uuid, SchemaID: state.Schema.ID}
	read, err := one.read(ctx, state)
	if err != nil {
		return 0, err
	}
	b, err := onceMore(func() (*body, error) { return one.body(ctx, state, read) })
	if err != nil {
		return 0, err
	}
	if err := b.goesWith(&q, one.decode(ctx, state, read, b, &q)); err != nil {
		return 0, err
	}
	sequence := state.Sequence + int64(len(t.own)) + 1
	header := format.DeltaHeader{
		TableUUID: t.uuid, First: sequence, Sequence: sequence, SchemaID: state.Schema.ID, UUID: uuid.NewString(), Time: x.e.opts.Now(),
	}
	d, err := change.WriteDelta(filepath.Join(x.pad.Dir, header.UUID+".parquet"), header, state.Schema, q)
	if err != nil {
		return 0, scratchFailed(err)
	}
	failpoint.Hit("transaction.statement")
	if d.Rows > 0 {
		t.own = append(t.own, d)
	}
	return q.Rows, nil
}

// aliased gives a statement whose target has an alias where its namespace is not main: in
// a transaction it is read by a view of another name.
func aliased(s *sqlwrite.Statement) *sqlwrite.Statement {
	if s.Alias != "" || strings.EqualFold(s.Target.Namespace, lake.DefaultNamespace) {
		return s
	}
	out := *s
	out.Alias = s.Target.Dataset
	return &out
}

// ask asks the worker for a read of a statement. What the transaction changes is read
// as it is, which nobody else changes, with its own changes on top; all else as it is, and
// where it has moved on meanwhile once more from the files of the noted state.
func (x *transaction) ask(ctx context.Context, q worker.QueryRequest) (*Answer, error) {
	for {
		left := time.Until(x.turn.Deadline)
		if left <= 0 {
			return nil, context.DeadlineExceeded
		}
		q.Snapshot, q.Instants = true, x.known()
		a, err := x.e.run(ctx, q, left)
		if err != nil {
			if lake.CodeOf(err) == lake.CodeSQLInvalid && x.bringEvolved(ctx) {
				continue // it may have been bound to columns that are not those of the noted state
			}
			return nil, err
		}
		moved, err := x.moved(a.Head)
		if err == nil && len(moved) == 0 {
			return a, nil
		}
		a.Body.Close()
		if err == nil {
			err = x.bring(ctx, moved)
		}
		if err != nil {
			return nil, err
		}
	}
}

// moved are the datasets of an answer that were not read at the noted state.
func (x *transaction) moved(head rows.Head) (moved []lake.Instant, err error) {
	for text, at := range head.ReadPoints {
		name, err := lake.ParseName(text)
		if err != nil {
			continue // of files of the noted state
		}
		s := x.states[name.Key()]
		if s == nil || s.UUID != at.TableUUID {
			return nil, lake.Errorf(lake.CodeDatasetNotFound, "%s was made, dropped or renamed while the transaction ran", name).
				WithHint("nothing was changed: try again")
		}
		if s.Sequence != at.Sequence {
			moved = append(moved, lake.Instant{Dataset: s.Name, Sequence: s.Sequence})
		}
	}
	return moved, nil
}

// bringEvolved finds the files of the noted states of datasets whose columns changed since;
// it says whether there are any that it had not found.
func (x *transaction) bringEvolved(ctx context.Context) bool {
	var evolved []lake.Instant
	for _, m := range x.e.members() {
		now := m.ds.State()
		s := x.states[now.Name.Key()]
		if s == nil || s.UUID != now.UUID || s.Schema.ID == now.Schema.ID {
			continue
		}
		if _, ok := x.files[now.Name.Key()]; !ok {
			evolved = append(evolved, lake.Instant{Dataset: s.Name, Sequence: s.Sequence})
		}
	}
	return len(evolved) > 0 && x.bring(ctx, evolved) == nil
}

// bring finds the files of noted states, which are kept until the transaction ends.
func (x *transaction) bring(ctx context.Context, at []lake.Instant) error {
	found, release, err := x.e.bringInstants(ctx, at, true)
	x.let = append(x.let, release)
	if err != nil {
		return err
	}
	for i, f := range found {
		if f.TableUUID != x.states[at[i].Dataset.Key()].UUID {
			return lake.Errorf(lake.CodeDatasetNotFound, "%s was dropped or renamed while the transaction ran", at[i].Dataset).
				WithHint("nothing was changed: try again")
		}
		x.files[at[i].Dataset.Key()] = f
	}
	return nil
}

// known is what is read otherwise than as it is: the transaction's own changes, and noted
// states.
func (x *transaction) known() []lake.InstantFiles {
	out := slices.Collect(maps.Values(x.files))
	for _, t := range x.targeted {
		if len(t.own) > 0 {
			s := x.states[t.name.Key()]
			out = append(out, lake.InstantFiles{
				Instant: lake.Instant{Dataset: s.Name, Sequence: s.Sequence}, TableUUID: s.UUID, Sequence: s.Sequence,
				Schema: s.Schema, Present: true, Deltas: t.own,
			})
		}
	}
	return out
}

func (x *transaction) letGo() {
	for _, let := range x.let {
		let()
	}
}
