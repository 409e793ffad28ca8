package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"
	"sort"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"pgregory.net/rapid"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// The model check: random histories against plain maps, with every row of every
// dataset compared after each step. rapid prints the seed of a failure, and
// -rapid.seed repeats it.

// shape is a kind of dataset that the model knows: columns, key, and how values
// are drawn. All values are JSON texts as answers have them.
type shape struct {
	key     []string
	columns []string                // "name TYPE"
	draw    []func(*rapid.T) string // values that are not null
	strict  map[string]bool         // columns beside the key that may not be null
}

// nullable says whether a column may be null.
func (s shape) nullable(column string) bool {
	return !s.strict[column] && !slices.Contains(s.key, column)
}

func small(t *rapid.T) string { return fmt.Sprint(rapid.IntRange(0, 40).Draw(t, "n")) }

func word(t *rapid.T) string {
	b, _ := json.Marshal(rapid.SampledFrom([]string{"", "a", "ab", "Z", "é", "a,b", `"q"`, "the quick brown fox jumps", "the quick brown fox jumped"}).Draw(t, "s"))
	return string(b)
}

func orNull(f func(*rapid.T) string) func(*rapid.T) string {
	return func(t *rapid.T) string {
		if rapid.IntRange(0, 4).Draw(t, "null") == 0 {
			return "null"
		}
		return f(t)
	}
}

func amount(t *rapid.T) string {
	n := rapid.IntRange(-9999, 9999).Draw(t, "cents")
	return fmt.Sprintf(`"%s%d.%02d"`, map[bool]string{true: "-", false: ""}[n < 0], abs(n)/100, abs(n)%100)
}

func day(t *rapid.T) string {
	return fmt.Sprintf(`"2024-01-%02d"`, rapid.IntRange(1, 28).Draw(t, "day"))
}

func list(t *rapid.T) string {
	n := rapid.IntRange(0, 3).Draw(t, "len")
	parts := make([]string, n)
	for i := range parts {
		parts[i] = orNull(small)(t)
	}
	return "[" + strings.Join(parts, ",") + "]"
}

func abs(n int) int { return max(n, -n) }

var shapes = []shape{
	{[]string{"id"}, []string{"id BIGINT", "v VARCHAR", "n DECIMAL(10,2)"}, []func(*rapid.T) string{small, word, amount}, nil},
	{[]string{"w", "d"}, []string{"d DATE", "xs BIGINT[]", "w VARCHAR"}, []func(*rapid.T) string{day, list, word}, nil},
	{nil, []string{"w VARCHAR", "n BIGINT"}, []func(*rapid.T) string{word, small}, nil},
	{[]string{"k"}, []string{"f FLOAT", "k INTEGER", "v VARCHAR"}, []func(*rapid.T) string{quarter, small, word}, nil},
}

// modelled is one dataset of the model.
type modelled struct {
	shape  shape
	rows   [][]string // in arrival order; for a keyed one, sorted when compared
	pinned bool
}

func (m *modelled) keyAt() []int {
	var at []int
	for _, k := range m.shape.key {
		for i, c := range m.shape.columns {
			if strings.HasPrefix(c, k+" ") {
				at = append(at, i)
			}
		}
	}
	return at
}

func (m *modelled) keyOf(row []string) string {
	var parts []string
	for _, i := range m.keyAt() {
		parts = append(parts, row[i])
	}
	return strings.Join(parts, "|")
}

func (m *modelled) remove(key string) bool {
	n := len(m.rows)
	m.rows = slices.DeleteFunc(m.rows, func(r []string) bool { return m.keyOf(r) == key })
	return len(m.rows) < n
}

func (m *modelled) upsert(row []string) {
	if m.shape.key != nil {
		m.remove(m.keyOf(row))
	}
	m.rows = append(m.rows, row)
}

func (m *modelled) names() []string {
	var out []string
	for _, c := range m.shape.columns {
		n, _, _ := strings.Cut(c, " ")
		out = append(out, n)
	}
	return out
}

func (m *modelled) object(row []string, only []string) string {
	var parts []string
	for i, n := range m.names() {
		if only == nil || slices.Contains(only, n) {
			parts = append(parts, fmt.Sprintf("%q:%s", n, row[i]))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

func (m *modelled) drawRow(t *rapid.T) []string {
	row := make([]string, len(m.shape.draw))
	for i, d := range m.shape.draw {
		if m.shape.nullable(m.names()[i]) {
			d = orNull(d)
		}
		row[i] = d(t)
	}
	return row
}

func (m *modelled) drawRows(t *rapid.T, atLeast int) [][]string {
	out := make([][]string, rapid.IntRange(atLeast, 12).Draw(t, "rows"))
	for i := range out {
		out[i] = m.drawRow(t)
	}
	return out
}

// history is a lake under the model check.
type history struct {
	t    *rapid.T
	o    *opened
	dir  string
	open func() *opened
	all  map[string]*modelled
}

func (h *history) names() []string {
	out := make([]string, 0, len(h.all))
	for n := range h.all {
		out = append(out, n)
	}
	sort.Strings(out)
	return out
}

func (h *history) pick() (string, *modelled) {
	if len(h.all) == 0 {
		h.t.Skip("no dataset")
	}
	n := rapid.SampledFrom(h.names()).Draw(h.t, "dataset")
	return n, h.all[n]
}

func (h *history) fatal(format string, args ...any) {
	h.t.Fatalf(format, args...)
}

var poolOfNames = []string{"a", "b", "ns.a", "other.c"}

func (h *history) create() {
	n := rapid.SampledFrom(poolOfNames).Draw(h.t, "name")
	sh := rapid.SampledFrom(shapes).Draw(h.t, "shape")
	_, err := h.o.Create(context.Background(), engine.CreateRequest{Dataset: name(h.o.t, n), Schema: schema(h.o.t, slices.Clone(sh.key), sh.columns...)})
	if h.all[n] != nil {
		h.wantCode(err, lake.CodeDatasetExists)
		return
	}
	h.ok(err)
	h.all[n] = &modelled{shape: sh}
}

// importNew creates a dataset of a file, with what the file does not say about its
// columns left to be found out.
func (h *history) importNew() {
	n := rapid.SampledFrom(poolOfNames).Draw(h.t, "name")
	sh := rapid.SampledFrom(shapes).Draw(h.t, "shape")
	dup := rapid.SampledFrom([]engine.OnDuplicate{engine.DuplicateError, engine.DuplicateLast}).Draw(h.t, "dup")
	m := &modelled{shape: sh}
	rs := m.drawRows(h.t, 1)
	body := new(bytes.Buffer)
	conflict := false
	for _, r := range rs {
		if sh.key != nil && m.remove(m.keyOf(r)) {
			conflict = true
		}
		m.rows = append(m.rows, r)
	}
	h.parquet(body, sh, rs)
	_, err := h.o.importText(n, engine.ImportCreate, rows.Parquet, slices.Clone(sh.key), dup, body.String())
	switch {
	case h.all[n] != nil:
		h.wantCode(err, lake.CodeDatasetExists)
	case conflict && dup == engine.DuplicateError:
		h.wantCode(err, lake.CodeKeyConflict)
	default:
		h.ok(err)
		h.all[n] = m
		m.shape.columns = slices.Clone(sh.columns)
		for i, c := range m.shape.columns { // integers of a file are of one type
			m.shape.columns[i] = strings.Replace(c, " INTEGER", " BIGINT", 1)
		}
	}
}

// parquet writes rows as a Parquet file of the shape's types.
func (h *history) parquet(w io.Writer, sh shape, rs [][]string) {
	s := schema(h.o.t, nil, sh.columns...)
	m := &modelled{shape: sh}
	var lines strings.Builder
	for _, r := range rs {
		lines.WriteString(m.object(r, nil) + "\n")
	}
	dec, err := rows.Decode(context.Background(), rows.NDJSON, strings.NewReader(lines.String()), rows.DecodeOptions{Schema: s})
	h.ok(err)
	defer dec.Close()
	out, err := pqarrow.NewFileWriter(s.Arrow(), w, nil, pqarrow.DefaultWriterProps())
	h.ok(err)
	for {
		rec, err := dec.Next()
		if err == io.EOF {
			break
		}
		h.ok(err)
		h.ok(out.Write(rec))
		rec.Release()
	}
	h.ok(out.Close())
}

func (h *history) ok(err error) {
	if err != nil {
		h.fatal("unexpected error: %v", err)
	}
}

func (h *history) wantCode(err error, code lake.Code) {
	if lake.CodeOf(err) != code || err == nil {
		h.fatal("got %v, want %s", err, code)
	}
}

func (h *history) upsert() {
	n, m := h.pick()
	rs := m.drawRows(h.t, 1)
	var lines []string
	for _, r := range rs {
		lines = append(lines, m.object(r, nil))
	}
	got, err := h.o.tryChange(n, engine.OpUpsert, lines...)
	h.ok(err)
	if got.Rows != int64(len(rs)) {
		h.fatal("%d rows acknowledged of %d", got.Rows, len(rs))
	}
	for _, r := range rs {
		m.upsert(r)
	}
}

func (h *history) delete() {
	n, m := h.pick()
	rs := m.drawRows(h.t, 1)
	var lines []string
	for _, r := range rs {
		lines = append(lines, m.object(r, append([]string{}, m.shape.key...)))
	}
	_, err := h.o.tryChange(n, engine.OpDelete, lines...)
	if m.shape.key == nil {
		h.wantCode(err, lake.CodeNoPrimaryKey)
		return
	}
	h.ok(err)
	for _, r := range rs {
		m.remove(m.keyOf(r))
	}
}

func (h *history) mixed() {
	n, m := h.pick()
	if m.shape.key == nil {
		h.t.Skip("no key")
	}
	var lines []string
	next := &modelled{shape: m.shape, rows: slices.Clone(m.rows)}
	for _, r := range m.drawRows(h.t, 1) {
		if rapid.Bool().Draw(h.t, "delete") {
			lines = append(lines, fmt.Sprintf(`{"op":"delete","key":%s}`, m.object(r, m.shape.key)))
			next.remove(m.keyOf(r))
		} else {
			lines = append(lines, fmt.Sprintf(`{"op":"upsert","row":%s}`, m.object(r, nil)))
			next.upsert(r)
		}
	}
	_, err := h.o.tryChange(n, engine.OpChanges, lines...)
	h.ok(err)
	m.rows = next.rows
}

// transact puts the rows of a dataset into another of its kind, and takes them back
// together with those that this had, over what it did itself.
func (h *history) transact() {
	n, m := h.pick()
	if m.shape.key == nil {
		h.t.Skip("no key")
	}
	alike := slices.DeleteFunc(h.names(), func(other string) bool {
		return !slices.Equal(h.all[other].shape.columns, m.shape.columns) || !slices.Equal(h.all[other].shape.key, m.shape.key)
	})
	n2 := rapid.SampledFrom(alike).Draw(h.t, "other")
	end := rapid.SampledFrom([]string{"COMMIT", "COMMIT", "COMMIT", "ROLLBACK"}).Draw(h.t, "end")
	moves := func(to, from string) string {
		return fmt.Sprintf("INSERT OR REPLACE INTO %s BY NAME SELECT * FROM %s; ", to, from)
	}
	got, err := h.o.tryTransact("BEGIN; " + moves(n2, n) + "DELETE FROM " + n + "; " + moves(n, n2) + end)
	h.ok(err)
	before, m2 := len(m.rows), h.all[n2]
	both := &modelled{shape: m2.shape, rows: slices.Clone(m2.rows)}
	for _, r := range m.rows {
		both.upsert(r)
	}
	if n == n2 {
		both.rows = nil
	}
	if want := int64(2*before + len(both.rows)); got.Rows != want {
		h.fatal("%+v, and it is about %d rows", got, want)
	}
	if end == "COMMIT" {
		m2.rows, m.rows = both.rows, slices.Clone(both.rows)
	}
}

// badRow must change nothing.
func (h *history) badRow() {
	n, m := h.pick()
	_, err := h.o.tryChange(n, engine.OpUpsert, m.object(m.drawRow(h.t), nil), `{"no such column":1}`)
	h.wantCode(err, lake.CodeRowsInvalid)
}

func (h *history) importInto() {
	n, m := h.pick()
	mode := rapid.SampledFrom([]engine.ImportMode{engine.ImportAppend, engine.ImportReplace}).Draw(h.t, "mode")
	dup := rapid.SampledFrom([]engine.OnDuplicate{engine.DuplicateError, engine.DuplicateLast}).Draw(h.t, "dup")
	rs := m.drawRows(h.t, 0)
	next := &modelled{shape: m.shape}
	if mode == engine.ImportAppend {
		next.rows = slices.Clone(m.rows)
	}
	conflict := false
	var lines []string
	for _, r := range rs {
		lines = append(lines, m.object(r, nil)+"\n")
		if m.shape.key != nil && next.remove(m.keyOf(r)) {
			conflict = true
		}
		next.rows = append(next.rows, r)
	}
	got, err := h.o.importText(n, mode, rows.NDJSON, nil, dup, strings.Join(lines, ""))
	if conflict && dup == engine.DuplicateError {
		h.wantCode(err, lake.CodeKeyConflict)
		return
	}
	h.ok(err)
	if dup == engine.DuplicateError && got.Rows != int64(len(rs)) {
		h.fatal("%d rows imported of %d", got.Rows, len(rs))
	}
	m.rows = next.rows
}

func (h *history) compact() {
	n, m := h.pick()
	before, err := h.o.Describe(context.Background(), name(h.o.t, n))
	h.ok(err)
	c, err := h.o.tryCompact(n)
	h.ok(err)
	if c.BaseRows != before.BaseRows || c.FinalRows != int64(len(m.rows)) || c.DeltaRows != before.PendingRows || c.DeltasMerged != before.PendingDeltas {
		h.fatal("compaction says %+v, the dataset was %+v and has %d rows", c, before, len(m.rows))
	}
}

func (h *history) dedupe() {
	n, m := h.pick()
	column := rapid.SampledFrom(m.names()).Draw(h.t, "column")
	c, err := h.o.tryCompact(n, column)
	if m.shape.key != nil {
		h.wantCode(err, lake.CodeHasPrimaryKey)
		return
	}
	h.ok(err)
	at := slices.Index(m.names(), column)
	var kept [][]string
	for i, r := range m.rows {
		if !slices.ContainsFunc(m.rows[i+1:], func(o []string) bool { return o[at] == r[at] }) {
			kept = append(kept, r)
		}
	}
	m.rows = kept
	if c.FinalRows != int64(len(kept)) && c.DeltasMerged+int(c.Deleted) > 0 {
		h.fatal("%+v where %d rows are right", c, len(kept))
	}
}

func (h *history) rename() {
	n, m := h.pick()
	to := rapid.SampledFrom(poolOfNames).Draw(h.t, "to")
	_, err := h.o.Rename(context.Background(), name(h.o.t, n), name(h.o.t, to), engine.Idempotency{})
	if h.all[to] != nil && to != n {
		h.wantCode(err, lake.CodeDatasetExists)
		return
	}
	h.ok(err)
	delete(h.all, n)
	h.all[to] = m
}

func (h *history) drop() {
	n, _ := h.pick()
	h.ok(h.o.Drop(context.Background(), name(h.o.t, n), engine.Idempotency{}))
	delete(h.all, n)
}

func (h *history) restart() {
	h.o.close()
	h.o = h.open()
}

// byPlace changes or deletes the rows of a dataset without a key that have a value: equal
// rows alike, all in their places.
func (h *history) byPlace() {
	n, m := h.pick()
	if m.shape.key != nil || len(m.rows) == 0 {
		h.t.Skip("a key, or no row")
	}
	column := func(label string) (at int, name, typ, value string) {
		at = rapid.IntRange(0, len(m.shape.columns)-1).Draw(h.t, label)
		name, typ, _ = strings.Cut(m.shape.columns[at], " ")
		if typ != "VARCHAR" && typ != "BIGINT" && typ != "INTEGER" && typ != "DATE" && !strings.HasPrefix(typ, "DECIMAL") {
			h.t.Skip("no value of " + typ)
		}
		return at, lake.QuoteIdent(name), typ, rapid.SampledFrom(m.rows).Draw(h.t, label+" of")[at]
	}
	at, by, typ, value := column("column")
	sql, params, set, to := "DELETE FROM "+n, "", -1, ""
	if rapid.Bool().Draw(h.t, "update") {
		var what, as string
		set, what, as, to = column("set")
		sql, params = fmt.Sprintf("UPDATE %s SET %s = CAST(? AS %s)", n, what, as), to+","
	}
	sql += fmt.Sprintf(" WHERE %s IS NOT DISTINCT FROM CAST(? AS %s)", by, typ)
	var next [][]string
	changed := int64(0)
	for _, row := range m.rows {
		if row[at] != value {
			next = append(next, row)
			continue
		}
		if changed++; set >= 0 {
			row = slices.Clone(row)
			row[set] = to
			next = append(next, row)
		}
	}
	r, err := h.o.exec(sql, func(r *engine.StatementRequest) { r.Params = []byte("[" + params + value + "]") })
	h.ok(err)
	if r.Rows != changed {
		h.fatal("%s with %s%s: %+v where %d rows are right", sql, params, value, r, changed)
	}
	m.rows = next
}

func (h *history) killWorker() { h.o.KillWorker() }

func (h *history) tidy() { h.ok(h.o.Tidy(context.Background())) }

// check compares everything: I1, I3 and, by the counts, I4.
func (h *history) check(*rapid.T) {
	for n, m := range h.all {
		order := ""
		if m.shape.key != nil {
			order = " ORDER BY " + strings.Join(m.shape.key, ", ")
		}
		from := h.compare(n, m, "SELECT * FROM "+n+order)
		h.compareGroups(n, m)
		h.compareKeys(n, m)
		h.otherwise(n, m, from)
		// Where it is served from now is the policy's business: a budget or a load
		// under way may have other plans. What it answers is not.
		h.compare(n, m, "SELECT * FROM "+n+order)
		h.compareGroups(n, m)
		h.compareKeys(n, m)
		h.restore(n, m)
		d, err := h.o.Describe(context.Background(), name(h.o.t, n))
		h.ok(err)
		if d.Rows != int64(len(m.rows)) {
			h.fatal("%s: describe says %d rows of %d", n, d.Rows, len(m.rows))
		}
		if got, want := fmt.Sprint(d.Columns), m.described(); got != want {
			h.fatal("%s: describe says the columns %s of %s", n, got, want)
		}
	}
	for n, m := range h.all {
		if h.isPinned(n) != m.pinned {
			h.fatal("%s is pinned: %v, and must be: %v", n, !m.pinned, m.pinned)
		}
	}
	all, err := h.o.List(context.Background(), nil)
	h.ok(err)
	if len(all) != len(h.all) {
		h.fatal("%d datasets listed of %d", len(all), len(h.all))
	}
}

// compare compares every row and says where they were served from.
func (h *history) compare(n string, m *modelled, sql string) string {
	got, head, err := h.o.tryAnswer(sql)
	h.ok(err)
	want := []string{}
	for _, r := range m.rows {
		want = append(want, "["+strings.Join(r, ",")+"]")
	}
	if m.shape.key != nil { // the key order of SQL is not ours to repeat: compare as bags
		sort.Strings(got)
		sort.Strings(want)
	}
	from := ""
	for _, f := range head.ServedFrom {
		from = f
	}
	if !slices.Equal(got, want) {
		h.fatal("%s, served from %s, holds\n%s\nand not\n%s", n, from, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	return from
}

// compareGroups counts the rows by each text.
func (h *history) compareGroups(n string, m *modelled) {
	at := slices.IndexFunc(m.shape.columns, func(c string) bool { return strings.HasSuffix(c, " VARCHAR") })
	if at < 0 {
		return
	}
	column := m.names()[at]
	counts := map[string]int{}
	for _, r := range m.rows {
		counts[r[at]]++
	}
	var want []string
	for text, rows := range counts {
		want = append(want, fmt.Sprintf("[%s,%d]", text, rows))
	}
	got, _, err := h.o.tryAnswer(fmt.Sprintf("SELECT %s, count(*) FROM %s GROUP BY %s", column, n, column))
	h.ok(err)
	sort.Strings(got)
	sort.Strings(want)
	if !slices.Equal(got, want) {
		h.fatal("%s by %s: %v and not %v", n, column, got, want)
	}
}

// compareKeys reads some rows by their keys, and one by a key that may be absent.
func (h *history) compareKeys(n string, m *modelled) {
	if m.shape.key == nil {
		return
	}
	asked, body := map[string]bool{}, ""
	for _, r := range append([][]string{m.drawRow(h.t)}, m.rows...) {
		if line := m.object(r, m.shape.key) + "\n"; len(body)+len(line) <= 150 { // the least spool_bytes
			asked[m.keyOf(r)] = true
			body += line
		}
	}
	want := []string{}
	for _, r := range m.rows {
		if asked[m.keyOf(r)] {
			want = append(want, "["+strings.Join(r, ",")+"]")
		}
	}
	a, err := h.o.Get(context.Background(), engine.GetRequest{
		Dataset: name(h.o.t, n), Format: rows.NDJSON, Body: strings.NewReader(body), Out: rows.OutJSON,
	})
	h.ok(err)
	got, err := rowsOf(a)
	h.ok(err)
	sort.Strings(got)
	sort.Strings(want)
	if !slices.Equal(got, want) {
		h.fatal("%s by its keys, served from %v: %v and not %v", n, a.Head.ServedFrom, got, want)
	}
}

// otherwise makes a cold dataset hot, where the budget allows it, and a hot one
// cold.
func (h *history) otherwise(n string, m *modelled, from string) {
	ctx, ds := context.Background(), name(h.o.t, n)
	if from == lake.ServedFromImage {
		_, err := h.o.CacheEvict(ctx, ds)
		h.ok(err)
		return
	}
	_, err := h.o.CachePin(ctx, ds)
	if err != nil {
		h.wantCode(err, lake.CodeCacheFull)
	}
}

// restore gives a dataset the pin that it had; its state stays what it was forced
// to, unless that needs loading.
func (h *history) restore(n string, m *modelled) {
	ctx, ds := context.Background(), name(h.o.t, n)
	if !m.pinned {
		_, err := h.o.CacheUnpin(ctx, ds)
		h.ok(err)
	} else if _, err := h.o.CachePin(ctx, ds); err != nil {
		h.wantCode(err, lake.CodeCacheFull)
		m.pinned = h.isPinned(n)
	}
}

func (h *history) isPinned(n string) bool {
	s, err := h.o.CacheStats(context.Background())
	h.ok(err)
	if s.UsedBytes > s.BudgetBytes {
		h.fatal("%d bytes are used of a budget of %d", s.UsedBytes, s.BudgetBytes)
	}
	for _, e := range s.Datasets {
		if e.Dataset == n {
			return e.Pinned
		}
	}
	h.fatal("the cache does not list %s", n)
	return false
}

func (h *history) pin() {
	n, m := h.pick()
	_, err := h.o.CachePin(context.Background(), name(h.o.t, n))
	if err != nil {
		h.wantCode(err, lake.CodeCacheFull)
		return
	}
	m.pinned = true
}

func (h *history) unpin() {
	n, m := h.pick()
	_, err := h.o.CacheUnpin(context.Background(), name(h.o.t, n))
	h.ok(err)
	m.pinned = false
}

func (h *history) evict() {
	n, m := h.pick()
	_, err := h.o.CacheEvict(context.Background(), name(h.o.t, n))
	h.ok(err)
	m.pinned = false
}

func TestModel(t *testing.T) {
	if testing.Short() {
		if err := flag.Set("rapid.checks", "8"); err != nil {
			t.Fatal(err)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		dir := t.TempDir()
		retain := rapid.Bool().Draw(rt, "retain")
		spool := rapid.SampledFrom([]int64{0, 150}).Draw(rt, "spool_bytes")           // 150: most bodies go through a job
		large := rapid.SampledFrom([]int64{0, 1, 2500}).Draw(rt, "large_delta_bytes") // 1: no delta is held in the tail
		budget := rapid.SampledFrom([]int64{engine.NoCache, 600 << 10, 4 << 20, 1 << 30}).Draw(rt, "cache_bytes")
		answers := rapid.SampledFrom([]int64{engine.NoCache, 0}).Draw(rt, "result_cache_bytes")
		target := rapid.SampledFrom([]int64{0, 1, 2000}).Draw(rt, "target_file_bytes") // small: many base files
		share := rapid.SampledFrom([]float64{0, 0.3, 1}).Draw(rt, "compact_dead_share")
		version := rapid.SampledFrom([]int{2, 3}).Draw(rt, "iceberg_format_version")
		h := &history{t: rt, dir: dir, all: map[string]*modelled{}}
		inBucket := func(*engine.Options) {}
		if rapid.IntRange(0, 3).Draw(rt, "in a bucket") == 0 { // where each restart is a take-over
			inBucket = inMemory(memoryBucket(t), dir)
		}
		h.open = func() *opened {
			return openLake(t, dir, inBucket, func(o *engine.Options) {
				o.Settings.CacheBytes, o.Settings.ResultCacheBytes = budget, answers
				o.Settings.SpoolBytes, o.Settings.LargeDeltaBytes, o.Settings.TargetFileBytes = spool, large, target
				o.Settings.CompactDeadShare, o.Settings.IcebergFormatVersion = share, version
				if !retain {
					o.Settings.SnapshotRetention, o.Settings.DeltaRetention, o.Settings.IdempotencyRetention = 1, 1, 1
				}
			})
		}
		h.o = h.open()
		defer func() { h.o.close() }()
		with := func(f func()) func(*rapid.T) {
			return func(rt *rapid.T) { h.t = rt; f() }
		}
		rt.Repeat(map[string]func(*rapid.T){
			"create": with(h.create), "upsert": with(h.upsert), "upsert2": with(h.upsert), "delete": with(h.delete), "mixed": with(h.mixed), "transact": with(h.transact), "by place": with(h.byPlace),
			"bad row": with(h.badRow), "import": with(h.importInto), "import new": with(h.importNew), "compact": with(h.compact), "dedupe": with(h.dedupe),
			"alter": with(h.alter), "alter more": with(h.alter), "pin": with(h.pin), "unpin": with(h.unpin), "evict": with(h.evict),
			"rename": with(h.rename), "drop": with(h.drop), "restart": with(h.restart), "kill worker": with(h.killWorker), "tidy": with(h.tidy),
			"": h.check,
		})
		h.t = rt
		h.o.verifyClean()
	})
}
