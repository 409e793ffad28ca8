package job

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// runRewrite makes the table changed of what a statement changes, by place, and writes
// anew the base files that have rows of it, each as one file, in its order.
func (s *session) runRewrite(ctx context.Context, w Rewrite) (Result, error) {
	if w.Schema.Keyed() {
		return Result{}, lake.Errorf(lake.CodeInternal, "a dataset with a primary key has no places")
	}
	ds, err := s.openDeltas(ctx, w.Deltas)
	if err != nil {
		return Result{}, err
	}
	b, err := s.openBase(ctx, w.Base, w.Schema)
	if err != nil {
		return Result{}, err
	}
	if err := s.readChanged(ctx, w); err != nil {
		return Result{}, err
	}
	res := Result{BaseRows: b.rows, DeltaRows: ds.rows, Outputs: []Output{}}
	touched, err := s.weighPlaces(ctx, w, b, ds, &res)
	if err != nil || res.Inserted+res.Updated+res.Deleted == 0 {
		return res, err
	}
	for i, f := range w.Base {
		if touched[i] || slices.Contains(w.Rewrite, i) || i >= w.tail() {
			s.expected += f.Bytes
			res.Rewritten = append(res.Rewritten, i)
		}
	}
	s.weighBase(b)
	if err := s.weighChanged(ctx, fmt.Sprintf("SELECT %s FROM changed WHERE op = %d", list(cols(w.Schema)), format.OpUpsert), w.Schema); err != nil {
		return res, err
	}
	target := s.spec.TargetFileBytes
	s.spec.TargetFileBytes = math.MaxInt64 / 4 // a file that is rewritten stays one, in its place
	for _, i := range res.Rewritten {
		if i >= w.tail() {
			continue
		}
		if err := s.rewriteFile(ctx, w, b, i, &res); err != nil {
			return Result{}, err
		}
	}
	s.spec.TargetFileBytes = target
	if err := s.writeArrived(ctx, w, b, ds, &res); err != nil {
		return Result{}, err
	}
	res.FinalRows = rowsOf(res.Outputs)
	return res, s.checkIdentities(w.Base)
}

// ChangedSchema is the columns of a statement's changes: of a delete the place alone.
func (w Rewrite) ChangedSchema() lake.Schema {
	place := lake.Column{Name: lake.PlaceColumn, Type: lake.Type{Kind: lake.Bigint}, Nullable: true}
	out := lake.Schema{}
	if w.Op != OpDelete {
		out.Columns = slices.Clone(w.Schema.Columns)
	}
	out.Columns = append(out.Columns, place)
	if w.Op == OpChanges {
		out.Columns = append(out.Columns, lake.Column{Name: rows.OpColumn, Type: lake.Type{Kind: lake.Integer}, Nullable: true})
	}
	return out
}

// readChanged fills the tables given, as the changes came, and changed: place, op and the
// columns c1…cn, without the rows that are inserted.
func (s *session) readChanged(ctx context.Context, w Rewrite) error {
	schema := w.ChangedSchema()
	if err := s.createTable(ctx, "given", schema, ""); err != nil {
		return err
	}
	body, err := unpack(w.Input, s.meter("decode"))
	if err != nil {
		return err
	}
	defer body.Close()
	d, err := rows.Decode(ctx, w.Input.Format, body.Reader, rows.DecodeOptions{
		Schema: schema, MaxRowBytes: w.MaxRowBytes, ScratchDir: filepath.Join(s.spec.Scratch, "in"),
	})
	if err != nil {
		return err
	}
	defer d.Close()
	if _, err := s.fill(ctx, "given", func() (arrow.RecordBatch, error) { return d.Next() }); err != nil {
		return err
	}
	op, place, columns := fmt.Sprint(format.OpUpsert), col(len(w.Schema.Columns)), cols(w.Schema)
	switch w.Op {
	case OpDelete:
		op, place = fmt.Sprint(format.OpDelete), col(0)
		for i, c := range w.Schema.Columns {
			columns[i] = fmt.Sprintf("NULL::%s AS %s", c.Type.SQL(), col(i))
		}
	case OpChanges:
		op = col(len(w.Schema.Columns) + 1)
	case OpUpsert:
	default:
		return lake.Errorf(lake.CodeInternal, "a rewrite by the operation %q", w.Op)
	}
	return s.c.Exec(ctx, fmt.Sprintf("CREATE VIEW changed AS SELECT %s AS place, %s AS op, %s, rowid AS n FROM given", place, op, list(columns)))
}

// weighPlaces counts the changes, sees that each is of one row that is there, and says
// which base files have rows of them.
func (s *session) weighPlaces(ctx context.Context, w Rewrite, b *base, ds *deltas, res *Result) ([]bool, error) {
	s.step("find changed rows")
	n, err := s.count(ctx, fmt.Sprintf(`SELECT count(*) FILTER (place IS NULL), count(*) FILTER (place IS NOT NULL AND op = %d),
		count(*) FILTER (place IS NOT NULL AND op = %d), count(*), count(place) - count(DISTINCT place) FROM changed`, format.OpUpsert, format.OpDelete))
	if err != nil {
		return nil, err
	}
	res.Inserted, res.Updated, res.Deleted, res.Rows = n[0], n[1], n[2], n[3]
	if n[4] != 0 || n[0]+n[1]+n[2] != n[3] || n[0] > 0 && w.Op != OpChanges {
		return nil, lake.Errorf(lake.CodeInternal, "a statement gives %d changes: %d inserts, %d updates, %d deletes, %d of rows that it changes twice", n[3], n[0], n[1], n[2], n[4])
	}
	byFile, err := s.c.Rows(ctx, fmt.Sprintf("SELECT (place >> %d)::BIGINT, max(place & %d)::BIGINT FROM changed WHERE place IS NOT NULL GROUP BY 1", rowBits, int64(1)<<rowBits-1))
	if err != nil {
		return nil, err
	}
	touched := make([]bool, len(w.Base))
	for _, row := range byFile {
		switch i, last := row[0].(int64), row[1].(int64); {
		case i < int64(len(w.Base)) && last < w.Base[i].Rows:
			touched[i] = true
		case i >= int64(len(w.Base)) && i < int64(len(w.Base)+len(ds.links)):
		default:
			return nil, lake.Errorf(lake.CodeInternal, "a statement changes row %d of file %d, of %d and %d", last, i, len(w.Base), len(ds.links))
		}
	}
	return touched, nil
}

// withChanges is rows with c1…cn and r, their place, as they are after the changes of
// places from one to another, in their order. Of the changes the places alone are joined:
// they are all that has to be in memory.
func withChanges(rows string, w Rewrite, from, to int64) string {
	names := cols(w.Schema)
	mine := fmt.Sprintf("place >= %d AND place < %d", from, to)
	return fmt.Sprintf(`SELECT %[1]s FROM (SELECT %[2]s, b.r FROM (%[3]s) b ANTI JOIN (SELECT place FROM changed WHERE %[4]s) x ON b.r = x.place
		UNION ALL SELECT %[1]s, place AS r FROM changed WHERE %[4]s AND op = %[5]d) ORDER BY r`,
		list(names), list(each(names, "b.%[1]s")), rows, mine, format.OpUpsert)
}

// deletedOf counts the rows that are deleted of places from one to another, and all that
// are changed.
func (s *session) deletedOf(ctx context.Context, from, to int64) (deleted, all int64, err error) {
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(*) FILTER (op = %d), count(*) FROM changed WHERE place >= %d AND place < %d", format.OpDelete, from, to))
	if err != nil {
		return 0, 0, err
	}
	return n[0], n[1], nil
}

// rewriteFile writes one base file anew; one of which no row stays leaves none.
func (s *session) rewriteFile(ctx context.Context, w Rewrite, b *base, i int, res *Result) error {
	from, to := int64(i)<<rowBits, int64(i+1)<<rowBits
	live := b.rowsSQL([]int{i}, fields(w.Schema), true)
	n, err := s.count(ctx, fmt.Sprintf("SELECT count(*), count(x.place) FROM (%s) b LEFT JOIN (SELECT place FROM changed WHERE place >= %d AND place < %d) x ON b.r = x.place",
		b.rowsSQL([]int{i}, fields(w.Schema)[:1], true), from, to))
	if err != nil {
		return err
	}
	deleted, all, err := s.deletedOf(ctx, from, to)
	if err != nil {
		return err
	}
	if n[1] != all {
		return lake.Errorf(lake.CodeInternal, "%d of the %d rows of %s that a statement changes are there", n[1], all, w.Base[i].Key)
	}
	if n[0] == deleted {
		return nil
	}
	outs, err := s.copyData(ctx, content{
		name: fmt.Sprintf("file%d", i), rows: withChanges(live, w, from, to), sample: b.rowsSQL([]int{i}, fields(w.Schema), false), bytes: w.Base[i].Bytes,
	}, w.Schema)
	if err != nil {
		return err
	}
	if len(outs) != 1 || outs[0].Rows != n[0]-deleted {
		return lake.Errorf(lake.CodeInternal, "%s: %d rows were written to %d files where %d are due", w.Base[i].Key, rowsOf(outs), len(outs), n[0]-deleted)
	}
	outs[0].Group = i
	res.Outputs = append(res.Outputs, outs[0])
	return nil
}

// tail is the position of the first file of Tail.
func (w Rewrite) tail() int { return len(w.Base) - w.Tail }

// writeArrived writes the rows of the last files and those of the deltas as they are after
// the changes, and behind them those that are inserted.
func (s *session) writeArrived(ctx context.Context, w Rewrite, b *base, ds *deltas, res *Result) error {
	tail, first := int64(w.tail())<<rowBits, int64(len(w.Base))<<rowBits
	deleted, _, err := s.deletedOf(ctx, tail, math.MaxInt64)
	if err != nil {
		return err
	}
	var parts []string
	last := int64(0)
	if w.Tail > 0 {
		rows := b.rowsSQL(b.all()[w.tail():], fields(w.Schema), true)
		n, err := s.count(ctx, "SELECT count(*) FROM ("+rows+")")
		if err != nil {
			return err
		}
		last = n[0]
		parts = append(parts, withChanges(rows, w, tail, first))
	}
	if ds.rows > 0 {
		pending := fmt.Sprintf("SELECT %s, r + %d AS r FROM (%s)", list(cols(w.Schema)), first, ds.rowsSQL(fields(w.Schema)))
		parts = append(parts, withChanges(pending, w, first, math.MaxInt64))
	}
	if res.Inserted > 0 {
		parts = append(parts, fmt.Sprintf("SELECT %s FROM (SELECT * FROM changed WHERE place IS NULL ORDER BY n)", list(cols(w.Schema))))
	}
	want := last + ds.rows - deleted + res.Inserted
	if want == 0 {
		return nil
	}
	all, err := s.united(ctx, parts, w.Schema)
	if err != nil {
		return err
	}
	outs, err := s.copyData(ctx, content{name: "arrived", rows: all, sample: all, bytes: s.sizes.of(0, want)}, w.Schema)
	if err != nil {
		return err
	}
	if n := rowsOf(outs); n != want {
		return lake.Errorf(lake.CodeInternal, "%d rows of deltas and of the statement were written where %d are due", n, want)
	}
	for _, o := range outs {
		o.Group = len(w.Base)
		res.Outputs = append(res.Outputs, o)
	}
	return nil
}
