package engine_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// TestRealInput holds tarn against plain DuckDB on public data: fresh, after
// changes, after compaction, after more changes and the removal of duplicates,
// after a restart, and folded again. $TARN_REAL_DATA is the folder that
// scripts/get-real-data filled.
//
// Plain DuckDB plays the history first, on tables of its own, and its answers
// are kept; then a lake plays it inside this process, and one with processes of
// its own of which the worker is killed now and then.
func TestRealInput(t *testing.T) {
	if testing.Short() {
		t.Skip("-short: the whole of make test does this")
	}
	dir := os.Getenv("TARN_REAL_DATA")
	if dir == "" {
		t.Skip("TARN_REAL_DATA is not set: scripts/get-real-data DIR gets the files, then TARN_REAL_DATA=DIR")
	}
	seed := testSeed(t)
	history := newRealHistory(t, dir, seed)
	t.Run("inside", func(t *testing.T) { history.play(t) })
	t.Run("processes", func(t *testing.T) { history.play(t, processes) })
}

// testSeed is $TARN_TEST_SEED, or one of this moment; it is printed either way.
func testSeed(t testing.TB) int64 {
	t.Helper()
	seed := time.Now().UnixNano() % 1_000_000_007
	if s := os.Getenv("TARN_TEST_SEED"); s != "" {
		if _, err := fmt.Sscan(s, &seed); err != nil {
			t.Fatalf("TARN_TEST_SEED: %v", err)
		}
	}
	t.Logf("TARN_TEST_SEED=%d repeats this run", seed)
	return seed
}

// realSet is one of the files and what it becomes.
type realSet struct {
	dataset, file string
	key           []string
	nulled        string // a column that may become null
	// edited and renamed are select lists (REPLACE) that change a row's values,
	// and its key into one that no file holds.
	edited, renamed string
	thousandths     int // of the rows that a round edits, renames, and deletes each
}

var realSets = []realSet{
	{"airlines", "airlines.csv", []string{"carrier"}, "name", "name || ' & Co, \"Inc\"' AS name", "carrier || '{n}' AS carrier", 250},
	{"airports", "airports.csv", []string{"faa"}, "alt", "CASE WHEN {chance} % 3 = 0 THEN NULL ELSE lat + 0.1 END AS lat, alt - {n} AS alt", "faa || '-{n}' AS faa", 50},
	{"planes", "planes.csv", []string{"tailnum"}, "seats", "nullif(model, 'A320-232') AS model, seats + {n} AS seats", "'X' || tailnum || {n} AS tailnum", 60},
	{"weather", "weather.csv", []string{"origin", "time_hour"}, "hour", "hour + 1 AS hour, visib / 3 AS visib", "time_hour + INTERVAL ({n}) SECOND AS time_hour", 20},
	{
		"flights", "flights.csv", []string{"year", "month", "day", "carrier", "flight", "origin", "dest"}, "distance",
		"CASE WHEN {chance} % 5 = 0 THEN NULL ELSE ({chance} % 400 - 50)::VARCHAR END AS dep_delay, distance + {chance} % 7 AS distance",
		"flight + 10000 * {n} AS flight", 6,
	},
	{"flights_log", "flights.csv", nil, "", "'again ' || {n} AS air_time", "", 3},
	{"flights3m", "flights-3m.parquet", nil, "", "delay + {n} AS delay, nullif(origin, 'ATL') AS origin", "", 1},
}

// realFrom reads a file in plain DuckDB as the import does.
func realFrom(dir, file string) string {
	path := lake.QuoteString(filepath.Join(dir, file))
	if strings.HasSuffix(file, ".csv") {
		return "read_csv(" + path + ", header = true, sample_size = -1, allow_quoted_nulls = false)"
	}
	return "read_parquet(" + path + ")"
}

// request is a change of a history, or the removal of earlier duplicates.
type request struct {
	dataset string
	op      engine.ChangeOp // "" removes duplicates by key
	format  rows.Format
	body    []byte
	key     []string
}

// realQuery is one of testdata/real/queries.sql.
type realQuery struct {
	name, sql string
	ordered   bool
}

var queryHead = regexp.MustCompile(`^-- (.+?)( \(ordered\))?$`)

func readQueries(t testing.TB, path string) []realQuery {
	t.Helper()
	var out []realQuery
	for _, part := range strings.Split(string(readFile(t, path)), "\n\n")[1:] {
		head, sql, _ := strings.Cut(strings.TrimSpace(part), "\n")
		m := queryHead.FindStringSubmatch(head)
		if m == nil {
			t.Fatalf("%s: %q heads no query", path, head)
		}
		out = append(out, realQuery{m[1], strings.TrimSuffix(sql, ";"), m[2] != ""})
	}
	return out
}

// realHistory is what is played and what is answered before, after one round of
// changes, and after two.
type realHistory struct {
	dir     string
	rounds  [2][]request
	queries []realQuery
	answers [3][]answer
}

func newRealHistory(t *testing.T, dir string, seed int64) *realHistory {
	t.Helper()
	h := &realHistory{dir: dir, queries: readQueries(t, "testdata/real/queries.sql")}
	p := newPlain(t)
	for _, s := range realSets {
		p.exec("CREATE TABLE %s AS SELECT * FROM %s", s.dataset, realFrom(dir, s.file))
	}
	h.ask(p, 0)
	for round := range h.rounds {
		for i, s := range realSets {
			r := realRound{p, s, round + 1, fmt.Sprintf("%d, %d, %d", seed, round, i)}
			h.rounds[round] = append(h.rounds[round], r.requests()...)
		}
		h.ask(p, round+1)
	}
	return h
}

func (h *realHistory) ask(p *plain, at int) {
	p.t.Helper()
	for _, q := range h.queries {
		h.answers[at] = append(h.answers[at], p.answer(q.sql))
	}
}

// realRound makes one round's requests for one dataset and applies each to the
// table of plain DuckDB.
type realRound struct {
	p     *plain
	set   realSet
	round int
	seed  string
}

// chance is SQL: a number of this round, the dataset and the row.
func (r realRound) chance(salt int) string {
	return fmt.Sprintf("(hash(%s, %d, t) %% 1000000)::BIGINT", r.seed, salt)
}

// some selects rows of the dataset with values replaced.
func (r realRound) some(salt int, replace string) string {
	return fmt.Sprintf("SELECT * REPLACE (%s) FROM %s t WHERE %s < %d",
		r.filled(replace, r.round), r.set.dataset, r.chance(salt), r.set.thousandths*1000)
}

// filled is a select list of the set with its places filled.
func (r realRound) filled(list string, n int) string {
	return strings.NewReplacer("{n}", fmt.Sprint(n), "{chance}", r.chance(99)).Replace(list)
}

func (r realRound) requests() []request {
	if r.set.key == nil {
		return r.appends()
	}
	edited := r.some(1, r.set.edited)
	// Some keys come twice, and the last one counts.
	twice := fmt.Sprintf("%[1]s UNION ALL SELECT * REPLACE (NULL AS %[2]s) FROM (%[1]s) t WHERE hash(t) %% 10 = 0", edited, r.set.nulled)
	out := r.upsert(twice, rows.NDJSON, rows.CSV, rows.ArrowStream, rows.NDJSON)
	out = append(out, r.upsert(r.some(10, r.set.renamed), rows.ArrowStream, rows.JSON, rows.Parquet)...)
	if r.round > 1 { // some that were deleted come back
		out = append(out, r.upsert(fmt.Sprintf("SELECT * FROM %s_deleted t WHERE %s < 500000", r.set.dataset, r.chance(20)), rows.CSV)...)
	}
	out = append(out, r.delete(30, rows.CSV, rows.NDJSON, rows.ArrowStream)...)
	return append(out, r.move())
}

// upsert makes requests of the rows of a query, which it puts in an order of its
// own, one for each format.
func (r realRound) upsert(rowsOf string, formats ...rows.Format) []request {
	d, key := r.set.dataset, strings.Join(r.set.key, ", ")
	r.p.exec("CREATE OR REPLACE TEMP TABLE u AS SELECT *, row_number() OVER (ORDER BY hash(%s, t), t) AS ord FROM (%s) t", r.seed, rowsOf)
	var out []request
	for i, f := range formats {
		sql := fmt.Sprintf("SELECT * EXCLUDE ord FROM u WHERE ord %% %d = %d ORDER BY ord", len(formats), i)
		out = append(out, request{dataset: d, op: engine.OpUpsert, format: f, body: r.p.body(f, sql)})
	}
	if r.set.key == nil {
		r.p.exec("INSERT INTO %s SELECT * EXCLUDE ord FROM u", d)
		return out
	}
	r.p.exec("DELETE FROM %s WHERE (%s) IN (SELECT (%s) FROM u)", d, key, key)
	r.p.exec("INSERT INTO %s SELECT * EXCLUDE ord FROM u QUALIFY row_number() OVER (PARTITION BY %s ORDER BY ord %% %d DESC, ord DESC) = 1",
		d, key, len(formats))
	return out
}

// delete deletes rows by key, and keys that no row has.
func (r realRound) delete(salt int, formats ...rows.Format) []request {
	d, key := r.set.dataset, strings.Join(r.set.key, ", ")
	r.p.exec("CREATE OR REPLACE TEMP TABLE k AS SELECT * FROM %s t WHERE %s < %d", d, r.chance(salt), r.set.thousandths*1000)
	r.p.exec("CREATE OR REPLACE TABLE %s_deleted AS FROM k", d)
	r.p.exec("CREATE OR REPLACE TEMP TABLE k AS SELECT %s, row_number() OVER (ORDER BY %s) AS ord FROM k", key, key)
	var out []request
	for i, f := range formats {
		sql := fmt.Sprintf("SELECT %s FROM k WHERE ord %% %d = %d", key, len(formats), i)
		if i == 0 && strings.Contains(r.set.renamed, "||") {
			sql += fmt.Sprintf(" UNION ALL SELECT 'nobody' AS %s", r.set.key[0])
		}
		out = append(out, request{dataset: d, op: engine.OpDelete, format: f, body: r.p.body(f, sql)})
	}
	r.p.exec("DELETE FROM %s WHERE (%s) IN (SELECT (%s) FROM k)", d, key, key)
	return out
}

// move gives rows another key: one request deletes the old ones and upserts the
// new ones, by turns.
func (r realRound) move() request {
	d, key := r.set.dataset, strings.Join(r.set.key, ", ")
	r.p.exec("CREATE OR REPLACE TEMP TABLE m AS FROM %s t WHERE %s < %d", d, r.chance(40), r.set.thousandths*200)
	moved := fmt.Sprintf("SELECT * REPLACE (%s) FROM m t", r.filled(r.set.renamed, 100*r.round))
	olds := r.p.texts("SELECT to_json(x) FROM (SELECT %s FROM m) x", key)
	news := r.p.texts("SELECT to_json(x) FROM (%s) x", moved)
	var body strings.Builder
	for i := range olds {
		fmt.Fprintf(&body, "{\"op\":\"delete\",\"key\":%s}\n{\"op\":\"upsert\",\"row\":%s}\n", olds[i], news[i])
	}
	r.p.exec("DELETE FROM %s WHERE (%s) IN (SELECT (%s) FROM m)", d, key, key)
	r.p.exec("INSERT INTO %s %s", d, moved)
	return request{dataset: d, op: engine.OpChanges, format: rows.NDJSON, body: []byte(body.String())}
}

// appends are the changes of a dataset without a key. In the second round the
// log of flights loses earlier duplicates.
func (r realRound) appends() []request {
	out := r.upsert(r.some(1, r.set.edited), rows.Parquet, rows.NDJSON, rows.CSV, rows.ArrowStream)
	if r.round > 1 && r.set.dataset == "flights_log" {
		key := realSets[slices.IndexFunc(realSets, func(s realSet) bool { return s.dataset == "flights" })].key
		out = append(out, request{dataset: r.set.dataset, key: key})
		r.p.exec("CREATE OR REPLACE TABLE %[1]s AS SELECT * FROM %[1]s QUALIFY row_number() OVER (PARTITION BY %[2]s ORDER BY rowid DESC) = 1",
			r.set.dataset, strings.Join(key, ", "))
	}
	return out
}

// play is one lake's life.
func (h *realHistory) play(t *testing.T, change ...func(*engine.Options)) {
	dir := t.TempDir()
	o := openLake(t, dir, change...)
	defer func() { o.close() }()
	for _, s := range realSets {
		o.importFile(s.dataset, filepath.Join(h.dir, s.file), s.key)
	}
	h.check(o, "fresh", 0)
	o.send(h.rounds[0])
	o.KillWorker()
	h.check(o, "changed", 1)
	o.compactAll()
	h.check(o, "compacted", 1)
	o.send(h.rounds[1])
	h.check(o, "changed again", 2)
	o.close()
	o = openLake(t, dir, change...)
	h.check(o, "restarted", 2)
	o.compactAll()
	h.check(o, "compacted again", 2)
	o.verifyClean()
}

// importFile imports a file of this machine.
func (o *opened) importFile(dataset, path string, key []string) {
	o.t.Helper()
	f := engine.ImportFile{Name: filepath.Base(path), Format: rows.CSV, Path: path}
	if strings.HasSuffix(path, ".parquet") {
		f.Format = rows.Parquet
	}
	j, err := o.Import(context.Background(), engine.ImportRequest{
		Dataset: name(o.t, dataset), PrimaryKey: key,
		Next: engine.Files(f),
	})
	if err == nil {
		_, err = j.Wait(context.Background())
	}
	if err != nil {
		o.t.Fatalf("import %s: %v", path, err)
	}
}

func (o *opened) send(requests []request) {
	o.t.Helper()
	for i, r := range requests {
		if r.op == "" {
			o.compact(r.dataset, r.key...)
			continue
		}
		_, err := o.Change(context.Background(), engine.ChangeRequest{Dataset: name(o.t, r.dataset), Op: r.op, Format: r.format, Body: bytes.NewReader(r.body)})
		if err != nil {
			o.t.Fatalf("request %d: %s %s as %s: %v", i, r.op, r.dataset, r.format, err)
		}
	}
}

func (o *opened) compactAll() {
	o.t.Helper()
	j, err := o.Compact(context.Background(), engine.CompactRequest{})
	if err == nil {
		_, err = j.Wait(context.Background())
	}
	if err != nil {
		o.t.Fatalf("compact: %v", err)
	}
}

// check asks everything, of files and of memory, and says which answers differ.
func (h *realHistory) check(o *opened, phase string, at int) {
	o.t.Helper()
	for _, e := range o.cache().Datasets {
		o.evict(e.Dataset)
	}
	h.askAll(o, phase+", evicted", at) // their use brings them back behind the queries
	for _, e := range o.cache().Datasets {
		if e = o.pin(e.Dataset); e.State != "hot" {
			o.t.Fatalf("%s: %+v", phase, e)
		}
	}
	h.askAll(o, phase+", pinned", at)
}

func (h *realHistory) askAll(o *opened, phase string, at int) {
	o.t.Helper()
	began := time.Now()
	for i, q := range h.queries {
		got, err := o.answer(q.sql)
		if err != nil {
			o.t.Errorf("%s: %s: %v", phase, q.name, err)
		} else if d := got.differs(h.answers[at][i], q.ordered); d != "" {
			o.t.Errorf("%s: %s: %s", phase, q.name, d)
		}
	}
	o.t.Logf("%s: %d queries in %v", phase, len(h.queries), time.Since(began).Round(time.Millisecond))
	if o.t.Failed() {
		o.t.FailNow()
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
