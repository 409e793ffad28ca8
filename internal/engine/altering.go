package engine

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// AlterRequest changes the schema of a dataset by operations in their order, all or
// none.
type AlterRequest struct {
	Dataset     lake.Name
	Operations  []lake.SchemaOperation
	Idempotency Idempotency
}

// AlterResult is the answer to a schema change.
type AlterResult struct {
	Dataset    string         `json:"dataset"`
	Changed    bool           `json:"changed" doc:"false: the schema was as asked for already, and there is no new sequence"`
	Columns    []Column       `json:"columns"`
	PrimaryKey []string       `json:"primary_key"`
	Sequence   int64          `json:"sequence"`
	ReadPoint  lake.ReadPoint `json:"read_point"`
	ETag       string         `json:"-"`
}

// storedAlter is an AlterResult as a catalog version keeps it for a repetition.
type storedAlter struct {
	AlterResult
	ETag string `json:"etag"`
}

func altered(s *dataset.State, schema lake.Schema, sequence int64, etag string) AlterResult {
	out := AlterResult{
		Dataset: s.Name.String(), PrimaryKey: append([]string{}, schema.Key...), Sequence: sequence,
		ReadPoint: lake.ReadPoint{TableUUID: s.UUID, Sequence: sequence}, ETag: etag,
	}
	for _, c := range schema.Columns {
		out.Columns = append(out.Columns, Column{c.Name, c.Type.SQL(), c.Nullable})
	}
	return out
}

// Alter changes a dataset's schema. No file is written anew: what is there is read by
// field ids. It waits for the dataset's running import or compaction to end, and holds
// the writers for as long as one commit takes.
func (e *Engine) Alter(ctx context.Context, r AlterRequest) (AlterResult, error) {
	if err := e.mayWrite(); err != nil {
		return AlterResult{}, err
	}
	step := "alter " + r.Dataset.String()
	ops, err := json.Marshal(r.Operations)
	if err != nil {
		return AlterResult{}, lake.Step(step, err)
	}
	var before storedAlter
	req, done, err := e.begin(ctx, r.Idempotency, string(ops), &before)
	if err != nil || done {
		before.AlterResult.ETag = before.ETag
		return before.AlterResult, err
	}
	defer req.end()
	m, err := e.member(r.Dataset)
	if err == nil {
		err = notAttached(m.ds.State(), "another schema")
	}
	if err != nil {
		return AlterResult{}, err
	}
	a := &alteration{e: e, m: m, r: r, req: req, checked: -1}
	out, err := a.run(ctx)
	if err != nil {
		e.notice(err)
		return AlterResult{}, lake.Step(step, err)
	}
	failpoint.Hit("alter.published")
	return out, nil
}

// alteration is one schema change under way.
type alteration struct {
	e   *Engine
	m   *member
	r   AlterRequest
	req replayed
	// checked is the sequence up to which no row is null where none may be, -1: not
	// known.
	checked int64
	// made writes the table's metadata under the next schema; nil: as base.Table does.
	made func(ctx context.Context, s lake.Schema, sequence int64, makeCurrent func(context.Context, string) error) (*base.Table, error)
}

// alterRounds is how often rows are looked through for nulls while changes go on,
// before they wait for it.
const alterRounds = 3

func (a *alteration) run(ctx context.Context) (out AlterResult, err error) {
	if _, err := a.evolve(a.m.ds.State()); err != nil {
		return out, err
	}
	unlock, err := a.m.ds.LockJobs(ctx)
	if err != nil {
		return out, err
	}
	defer unlock()
	defer a.e.shop.InUse(a.m.ds.State().UUID)()
	return a.locked(ctx)
}

// locked is run by who holds the dataset's job lock.
func (a *alteration) locked(ctx context.Context) (out AlterResult, err error) {
	for range alterRounds {
		s := a.m.ds.State()
		next, err := a.evolve(s)
		if err != nil {
			return out, err
		}
		if a.checked >= s.Sequence || len(required(s.Schema, next.Schema)) == 0 {
			break
		}
		if err := a.lookForNulls(ctx, s, next.Schema); err != nil {
			return out, err
		}
	}
	err = a.m.committer.Exclusive(ctx, func(held context.Context, h *change.Held) error {
		out, err = a.commit(ctx, held, h)
		return err
	})
	return out, err
}

// evolve says what the operations make of a state.
func (a *alteration) evolve(s *dataset.State) (lake.Evolved, error) {
	if s.Dropped || s.Name.Key() != a.r.Dataset.Key() {
		return lake.Evolved{}, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped or renamed meanwhile", a.r.Dataset)
	}
	return s.Schema.Evolve(a.r.Operations, s.Table.LastColumnID())
}

// commit runs with the committer held. The client's end, ctx, ends the look for nulls
// and not the commit.
func (a *alteration) commit(ctx, held context.Context, h *change.Held) (AlterResult, error) {
	s := h.State()
	next, err := a.evolve(s)
	if err != nil {
		return AlterResult{}, err
	}
	if !next.Changed {
		return altered(s, s.Schema, s.Sequence, s.ETag()), nil
	}
	if err := a.confirm(ctx, s, next.Schema); err != nil {
		return AlterResult{}, err
	}
	var out AlterResult
	_, err = h.SchemaCommit(held, func(ctx context.Context, n int64) (change.NewBase, error) {
		out = altered(s, next.Schema, n, dataset.ETag(s.UUID, n, 0))
		out.Changed = true
		evolve := a.made
		if evolve == nil {
			evolve = s.Table.Evolve
		}
		table, err := evolve(ctx, next.Schema, n, a.e.shop.MakeCurrent(s.Table, func(v *format.Version) {
			a.e.remember(v, a.req, http.StatusOK, storedAlter{out, out.ETag})
		}))
		if err != nil {
			return change.NewBase{}, lake.Step("commit", err)
		}
		failpoint.Hit("alter.committed")
		files, err := a.e.shop.ReadableAfterCommit(ctx, table, s.Files)
		return change.NewBase{Table: table, Files: files, FoldedThrough: s.FoldedThrough}, err
	})
	return out, err
}

// required are the columns of the next schema that may not be null and might be
// before, or were not there.
func required(was, next lake.Schema) []lake.Column {
	var out []lake.Column
	for _, c := range next.Columns {
		if before, ok := was.ColumnByID(c.ID); !c.Nullable && (!ok || before.Nullable) {
			out = append(out, c)
		}
	}
	return out
}

// lookForNulls reads the dataset for rows that the next schema would not allow, and
// names one.
func (a *alteration) lookForNulls(ctx context.Context, s *dataset.State, next lake.Schema) error {
	named := s.Schema.Key
	if !s.Schema.Keyed() {
		named = nil
		for _, c := range s.Schema.Columns {
			named = append(named, c.Name)
		}
	}
	quoted := make([]string, len(named))
	for i, n := range named {
		quoted[i] = lake.QuoteIdent(n)
	}
	through := s.Sequence
	for _, c := range required(s.Schema, next) {
		where := ""
		if before, ok := s.Schema.ColumnByID(c.ID); ok {
			where = " WHERE " + lake.QuoteIdent(before.Name) + " IS NULL"
		}
		var found []map[string]json.RawMessage
		head, err := a.e.askFor(ctx, a.e.set.MaxQueryTimeout, "SELECT "+strings.Join(quoted, ", ")+" FROM "+s.Name.SQL()+where+" LIMIT 1", &found)
		if err != nil {
			return lake.Step("look for nulls", err)
		}
		if len(found) > 0 {
			return lake.Errorf(lake.CodeRowsInvalid, "column %q is null in the row with %s", c.Name, rowText(named, found[0])).
				WithHint("give the column a value in all rows first")
		}
		for _, at := range head.ReadPoints {
			through = min(through, at.Sequence)
		}
	}
	a.checked = through
	return nil
}

// longestRowText is how much of a row a message shows.
const longestRowText = 200

func rowText(named []string, row map[string]json.RawMessage) string {
	parts := make([]string, len(named))
	for i, n := range named {
		parts[i] = fmt.Sprintf("%s = %s", n, row[n])
	}
	text := strings.Join(parts, ", ")
	if len(text) > longestRowText {
		text = strings.ToValidUTF8(text[:longestRowText], "") + "…"
	}
	return text
}

// confirm makes sure that no null came since the rows were looked through. It reads
// the deltas since then; only where one has a null in it, which a later one may have
// replaced, the rows are looked through again.
func (a *alteration) confirm(ctx context.Context, s *dataset.State, next lake.Schema) error {
	columns := required(s.Schema, next)
	if len(columns) == 0 || a.checked >= s.Sequence {
		return nil
	}
	clean, err := a.cleanSince(ctx, s, columns)
	if err != nil || clean {
		return err
	}
	return a.lookForNulls(ctx, s, next)
}

// cleanSince says whether the deltas since the rows were looked through are there and
// have no null in columns.
func (a *alteration) cleanSince(ctx context.Context, s *dataset.State, columns []lake.Column) (bool, error) {
	since := slices.IndexFunc(s.Deltas, func(d lake.Delta) bool { return d.First == a.checked+1 })
	if a.checked < 0 || since < 0 {
		return false, nil
	}
	clean := true
	for _, d := range s.Deltas[since:] {
		if d.Void {
			continue
		}
		if d.Path == "" || d.Bytes > a.e.set.SpoolBytes {
			return false, nil
		}
		_, err := format.OpenDelta(ctx, d.Path, s.Schema, func(c format.Changes) error {
			clean = clean && !hasNull(c, s.Schema, columns)
			return nil
		})
		if err != nil {
			return false, lake.Step("look for nulls in "+d.Key, err)
		}
	}
	return clean, nil
}

// hasNull says whether an upsert has a null in one of the columns, or lacks it.
func hasNull(c format.Changes, s lake.Schema, columns []lake.Column) bool {
	for _, col := range columns {
		at := slices.IndexFunc(s.Columns, func(x lake.Column) bool { return x.ID == col.ID })
		for row, op := range c.Ops {
			if op == format.OpUpsert && (at < 0 || c.Rows.Column(at).IsNull(row)) {
				return true
			}
		}
	}
	return false
}
