package icebergrest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
)

// realSets are the files of the real-input test, with their keys.
var realSets = []struct {
	dataset, file string
	key           []string
}{
	{"airlines", "airlines.csv", []string{"carrier"}}, {"airports", "airports.csv", []string{"faa"}}, {"planes", "planes.csv", []string{"tailnum"}},
	{"weather", "weather.csv", []string{"origin", "time_hour"}},
	{"flights", "flights.csv", []string{"year", "month", "day", "carrier", "flight", "origin", "dest"}},
	{"flights_log", "flights.csv", nil}, {"flights3m", "flights-3m.parquet", nil},
}

// realQuery is a query that engines are asked, in the form that testdata/answers.py takes.
type realQuery struct {
	Name  string    `json:"name"`
	SQL   string    `json:"sql"`
	Spark inDialect `json:"spark"`
	Trino inDialect `json:"trino"`
	// A scan: what an engine without SQL reads of a table.
	Table  string   `json:"table,omitempty"`
	Filter string   `json:"filter,omitempty"`
	Fields []string `json:"fields,omitempty"`
}

// inDialect is a query in an engine's dialect.
type inDialect struct {
	SQL    string `json:"sql"`
	Hashed bool   `json:"hashed"` // the engine gives the rows alone
}

// scans are what PyIceberg is asked with filter and columns pushed down.
var scans = []realQuery{
	{Name: "scan: short ones of July", Table: "flights", Filter: "origin == 'JFK' and month == 7 and distance < 500", Fields: []string{"carrier", "flight", "tailnum", "time_hour"}},
	{Name: "scan: without a delay", Table: "flights", Filter: "dep_delay is null or dep_delay == 'NA'", Fields: []string{"year", "month", "day", "carrier", "flight"}},
	{Name: "scan: high airports", Table: "airports", Filter: "alt > 1000 or faa in ('JFK', 'EWR')", Fields: []string{"faa", "name", "alt"}},
	{Name: "scan: hours late", Table: "flights3m", Filter: "delay >= 300 and origin like 'A%'", Fields: []string{"date", "delay", "destination"}},
}

// realQueries are the queries of the real-input test, with what they are in Spark and in
// Trino, and the scans.
func realQueries(t *testing.T) []realQuery {
	t.Helper()
	parts := func(path string) [][]string {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var out [][]string
		for _, part := range strings.Split(string(text), "\n\n")[1:] {
			out = append(out, strings.Split(strings.TrimSuffix(strings.TrimSpace(part), ";"), "\n"))
		}
		return out
	}
	var all []realQuery
	for _, p := range parts("../engine/testdata/real/queries.sql") {
		sql := strings.Join(p[1:], "\n")
		all = append(all, realQuery{Name: strings.TrimPrefix(p[0], "-- "), SQL: sql, Spark: inDialect{SQL: sql}, Trino: inDialect{SQL: sql}})
	}
	if len(all) < 25 {
		t.Fatalf("%d queries", len(all))
	}
	for file, spelling := range map[string]func(*realQuery) *inDialect{
		"spark.sql": func(q *realQuery) *inDialect { return &q.Spark },
		"trino.sql": func(q *realQuery) *inDialect { return &q.Trino },
	} {
		for _, p := range parts("testdata/" + file) {
			i := slices.IndexFunc(all, func(q realQuery) bool { return "-- "+q.Name == p[0] })
			if i < 0 || len(p) < 3 || !strings.HasPrefix(p[1], "-- ") {
				t.Fatalf("%s: %s is no query of queries.sql, or says no reason, or nothing else", file, p[0])
			}
			*spelling(&all[i]) = inDialect{SQL: strings.Join(p[2:], "\n"), Hashed: strings.HasPrefix(p[1], "-- hashed here")}
		}
	}
	for _, s := range scans {
		s.SQL = "SELECT " + strings.Join(s.Fields, ", ") + " FROM " + s.Table + " WHERE " + strings.ReplaceAll(s.Filter, "==", "=")
		s.Spark, s.Trino = inDialect{SQL: s.SQL}, inDialect{SQL: s.SQL}
		all = append(all, s)
	}
	return all
}

// reader is an engine that is asked the queries.
type reader struct {
	name string
	ask  string   // Python that gives its function from a query to an answer
	only []string // names of queries; nil: all
	// How many it is asked at once: one that plans longer than it reads answers sooner.
	atOnce int
}

// contents are the queries that go through every row of every dataset.
var contents = []string{"content of flights", "content of flights_log", "content of flights3m", "content of airports, airlines and planes", "content of weather"}

// polarsTakes are the queries that the SQL of polars takes as they are.
var polarsTakes = []string{
	"content of weather", "delays by airline (ordered)", "makers at far airports, three tables (ordered)", "the latest three of each origin (ordered)",
	"months against the month before (ordered)", "aggregates with filters (ordered)", "group by all", "rollup (ordered)", "grouping sets",
	"planes that flew to Honolulu, semi (ordered)", "tail numbers without a plane, anti (ordered)", "set operations (ordered)", "distinct on (ordered)",
	"a page (ordered)", "slower than their route, correlated", "weather at departure (ordered)", "full outer join (ordered)",
	"three million by origin (ordered)", "three million by place and day", "one key",
}

// clickHouseTakes are the queries that ClickHouse takes as they are, and by whose words it
// means the same.
var clickHouseTakes = []string{
	"content of weather", "makers at far airports, three tables (ordered)", "group by all", "rollup (ordered)", "grouping sets",
	"planes that flew to Honolulu, semi (ordered)", "tail numbers without a plane, anti (ordered)", "distinct on (ordered)", "a page (ordered)",
	"one key", "the log against the flights",
}

// readers are the engines of a session.
func (l *flightsLab) readers(spark, trino bool) []reader {
	how := fmt.Sprintf("(%s, names=names)", l.how)
	all := []reader{
		{"DuckDB", fmt.Sprintf("by_duckdb(%s)", l.how), nil, 1},
		{"PyIceberg", "by_pyiceberg" + how, nil, 1},
		{"PyIceberg, pushed down", "by_scans" + how, names(scans), 1},
		{"pandas", "by_pandas" + how, contents, 1},
		{"polars", "by_polars" + how, contents, 1},
		{"polars' SQL", "by_polars_sql" + how, polarsTakes, 1},
	}
	if spark {
		all = append(all, reader{"Spark", "by_spark(spark, names)", nil, 3})
	}
	if trino {
		all = append(all, reader{"Trino", "by_trino(trino)", nil, 3})
	}
	return all
}

// clickHouse is the engine of a session of its own.
func (l *flightsLab) clickHouse() reader {
	return reader{"ClickHouse", fmt.Sprintf("by_chdb(%s, names=names)", l.how), clickHouseTakes, 1}
}

func names(all []realQuery) []string {
	var out []string
	for _, q := range all {
		out = append(out, q.Name)
	}
	return out
}

// flightsLab is a lake of the real files and who reads it.
type flightsLab struct {
	*lab
	queries []realQuery
	files   string // where the reduced files are
	how     string // the arguments that engines attach with, in Python
}

// fill imports the real files.
func (l *flightsLab) fill() {
	l.t.Helper()
	for _, s := range realSets {
		l.importFile(s.dataset, filepath.Join(l.files, s.file), s.key)
	}
}

// begin tells a session the queries.
func (l *flightsLab) begin(p *python) {
	l.t.Helper()
	queries, err := json.Marshal(l.queries)
	if err != nil {
		l.t.Fatal(err)
	}
	path := filepath.Join(l.t.TempDir(), "queries.json")
	if err := os.WriteFile(path, queries, 0o600); err != nil {
		l.t.Fatal(err)
	}
	p.run(`import json
queries = json.load(open(%q))
names = ["airlines", "airports", "planes", "weather", "flights", "flights_log", "flights3m"]`, path)
}

// answers asks tarn all queries, and gives the folder of its answers.
func (l *flightsLab) answers() string {
	l.t.Helper()
	dir := l.t.TempDir()
	for i, q := range l.queries {
		if err := os.WriteFile(filepath.Join(dir, fmt.Sprintf("%d.arrow", i)), l.arrow(q.SQL), 0o600); err != nil {
			l.t.Fatal(err)
		}
	}
	return dir
}

// compare holds what a reader answers against tarn's answers.
func (l *flightsLab) compare(p *python, when, answers string, r reader) {
	l.t.Helper()
	only := "None"
	if r.only != nil {
		only = pythonList(r.only)
	}
	for _, name := range r.only {
		if !slices.Contains(names(l.queries), name) {
			l.t.Fatalf("%s is to be asked %q, which is no query", r.name, name)
		}
	}
	for _, difference := range p.texts("out = differences(%s, queries, %q, %s, %d)", r.ask, answers, only, r.atOnce) {
		l.t.Errorf("%s, %s: %s", when, r.name, difference)
	}
}

func pythonList(all []string) string {
	text, _ := json.Marshal(all) // texts always marshal
	return string(text)
}

func (l *lab) arrow(sql string) []byte {
	l.t.Helper()
	a, err := l.Query(l.t.Context(), engine.QueryRequest{SQL: sql, Format: rows.OutArrow})
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	defer a.Body.Close()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
	return b
}

// alter runs an ALTER TABLE.
func (l *lab) alter(sql string) {
	l.t.Helper()
	a, err := sqlddl.ParseAlter(sql)
	if err == nil {
		_, err = l.Alter(l.t.Context(), engine.AlterRequest{Dataset: a.Table, Operations: a.Operations})
	}
	if err != nil {
		l.t.Fatalf("%s: %v", sql, err)
	}
}

// deleteFiles counts the files of position deletes that the table of a dataset has.
func (l *flightsLab) deleteFiles(p *python, dataset string) string {
	l.t.Helper()
	return string(p.run(`out = int(pyiceberg(%s).load_table("main.%s").current_snapshot().summary["total-delete-files"])`, l.how, dataset))
}

// marked holds that rows of two datasets are marked by position deletes.
func (l *flightsLab) marked(p *python) {
	l.t.Helper()
	for _, dataset := range []string{"flights", "weather"} {
		if l.deleteFiles(p, dataset) == "0" {
			l.t.Errorf("no row of %s is marked", dataset)
		}
	}
}

// changeRows changes few rows, which are marked dead, and in airports most, whose file is
// written anew; both at the next load of a table.
func (l *flightsLab) changeRows() {
	l.t.Helper()
	for _, sql := range []string{
		"UPDATE flights SET dep_delay = NULL WHERE hash(flight, day) % 100 = 0",
		"DELETE FROM flights WHERE hash(flight, month) % 200 = 1",
		"UPDATE airports SET alt = alt + 1 WHERE lat > 40",
		"DELETE FROM planes WHERE year < '1980'",
		"UPDATE weather SET humid = NULL, precip = 9.25 WHERE hash(time_hour) % 90 = 0",
		"INSERT INTO flights_log SELECT * FROM flights WHERE day = 17",
	} {
		l.execute(sql)
	}
}

// compactAll compacts all datasets, after half of the flights changed: no row is marked
// then.
func (l *flightsLab) compactAll(p *python) {
	l.t.Helper()
	l.execute("UPDATE flights SET dep_time = '1' || dep_time WHERE day % 16 = 1")
	for _, s := range realSets {
		l.compact(s.dataset)
	}
	if n := l.deleteFiles(p, "flights"); n != "0" {
		l.t.Errorf("%s files of position deletes after a compaction of half the rows", n)
	}
}

// evolve changes schemas, by each kind of operation, with rows changed in between: columns
// that are new, that are wider than in some files, that have another name than in some
// files, and one that has the name of another that was.
func (l *flightsLab) evolve() {
	l.t.Helper()
	l.alter("ALTER TABLE flights ADD COLUMN note VARCHAR, ADD COLUMN legs INTEGER, ADD COLUMN fuel FLOAT, ADD COLUMN fare DECIMAL(6,2), RENAME sched_arr_time TO planned_arrival, DROP COLUMN minute")
	l.execute("UPDATE flights SET note = 'checked', legs = flight % 3, fuel = distance / 7, fare = distance / 10 WHERE hash(flight, day) % 30 = 3")
	l.compact("flights")
	l.alter("ALTER TABLE flights ADD COLUMN minute VARCHAR, ALTER legs TYPE BIGINT, ALTER fuel TYPE DOUBLE, ALTER fare TYPE DECIMAL(14,2)")
	l.execute("UPDATE flights SET minute = 'm' || month, legs = 5000000000 + day, fuel = 1e300, fare = 123456789012.25, planned_arrival = 1 WHERE hash(flight, day) % 40 = 4")
	l.alter("ALTER TABLE flights_log RENAME dep_time TO left_at, DROP minute")
	l.execute("INSERT INTO flights_log SELECT * EXCLUDE (note, legs, fuel, fare, minute) FROM flights WHERE day = 9 AND origin = 'LGA'")
	l.alter("ALTER TABLE weather DROP wind_gust, ADD gust DOUBLE, RENAME pressure TO hectopascal")
	l.execute("UPDATE weather SET gust = day / 3 WHERE month = 2 AND hour = 4")
}

// raise gives all tables format version 3, and has rows marked by deletion vectors.
func (l *flightsLab) raise(p *python) {
	l.t.Helper()
	for _, s := range realSets {
		l.expect("POST", "/namespaces/main/tables/"+s.dataset, "", `{"requirements":[],"updates":[{"action":"upgrade-format-version","format-version":3}]}`, 200, "")
	}
	for _, sql := range []string{
		"UPDATE flights SET dep_delay = 7 WHERE hash(flight, day) % 100 = 5",
		"DELETE FROM weather WHERE hash(time_hour) % 70 = 3",
	} {
		l.execute(sql)
	}
	for _, dataset := range []string{"flights", "weather"} {
		l.compact(dataset)
		if got := string(p.run(`t = pyiceberg(%s).load_table("main.%s"); out = [t.metadata.format_version, any(str(d.file_format) == "FileFormat.PUFFIN" for f in t.scan().plan_files() for d in f.delete_files)]`, l.how, dataset)); got != "[3, true]" {
			l.t.Errorf("%s: format version, and whether there are deletion vectors: %s", dataset, got)
		}
	}
}

// othersChanges are changes by other engines, each with a query over what was before that
// gives what afterwards a query over the dataset does.
var othersChanges = []struct{ by, dataset, statement, expected string }{
	{
		"DuckDB", "weather", "INSERT INTO lake.main.weather SELECT * REPLACE (time_hour + INTERVAL 20 YEAR AS time_hour, 2.5 AS gust) FROM lake.main.weather WHERE month = 3 AND day = 9",
		"FROM weather UNION ALL SELECT * REPLACE (time_hour + INTERVAL 20 YEAR AS time_hour, 2.5 AS gust) FROM weather WHERE month = 3 AND day = 9",
	},
	{"PyIceberg", "flights_log", "t.append(t.scan(row_filter='month == 3').to_arrow())", "FROM flights_log UNION ALL FROM flights_log WHERE month = 3"},
	{"PyIceberg", "flights", "t.delete('month == 5 and day == 9')", "FROM flights WHERE NOT (month = 5 AND day = 9)"},
	{"Spark", "flights_log", "INSERT INTO flights_log SELECT * FROM flights_log WHERE month = 2", "FROM flights_log UNION ALL FROM flights_log WHERE month = 2"},
	{
		"Spark", "flights", "UPDATE flights SET note = concat('by Spark ', dest), legs = coalesce(legs, 0) + 1, minute = NULL WHERE carrier = 'UA' AND day = 25",
		"SELECT * EXCLUDE (hit) REPLACE (CASE WHEN hit THEN 'by Spark ' || dest ELSE note END AS note, CASE WHEN hit THEN coalesce(legs, 0) + 1 ELSE legs END AS legs, CASE WHEN hit THEN NULL ELSE minute END AS minute) FROM (SELECT *, carrier = 'UA' AND day = 25 AS hit FROM flights)",
	},
	{"Spark", "planes", "DELETE FROM planes WHERE seats < 10", "FROM planes WHERE NOT seats < 10"},
	{
		"Spark", "airports", "MERGE INTO airports t USING (SELECT faa, alt FROM airports WHERE tz = -8 UNION ALL SELECT 'ZZZ', 7) s ON t.faa = s.faa WHEN MATCHED AND s.alt > 1000 THEN DELETE WHEN MATCHED THEN UPDATE SET alt = s.alt + 100000 WHEN NOT MATCHED THEN INSERT (faa, alt) VALUES (s.faa, s.alt)",
		"SELECT * REPLACE (CASE WHEN tz = -8 THEN alt + 100000 ELSE alt END AS alt) FROM airports WHERE tz <> -8 OR alt <= 1000 UNION ALL SELECT 'ZZZ', NULL, NULL, NULL, 7, NULL, NULL, NULL",
	},
	{"Spark", "weather", "INSERT INTO weather (origin, time_hour, gust) VALUES ('LGA', TIMESTAMP '2014-02-03 04:05:06', 1.5)", "FROM weather UNION ALL BY NAME SELECT 'LGA' AS origin, TIMESTAMPTZ '2014-02-03 04:05:06+00' AS time_hour, 1.5::DOUBLE AS gust"},
	{
		"Trino", "flights", "UPDATE flights SET note = 'by Trino ' || dest, legs = coalesce(legs, 0) + 2, fare = NULL WHERE carrier = 'B6' AND day = 17",
		"SELECT * EXCLUDE (hit) REPLACE (CASE WHEN hit THEN 'by Trino ' || dest ELSE note END AS note, CASE WHEN hit THEN coalesce(legs, 0) + 2 ELSE legs END AS legs, CASE WHEN hit THEN NULL ELSE fare END AS fare) FROM (SELECT *, carrier = 'B6' AND day = 17 AS hit FROM flights)",
	},
	{"Trino", "weather", "DELETE FROM weather WHERE origin = 'EWR' AND hour = 5 AND gust IS NULL", "FROM weather WHERE NOT (origin = 'EWR' AND hour = 5 AND gust IS NULL)"},
	{"Trino", "flights_log", "INSERT INTO flights_log SELECT * FROM flights_log WHERE month = 1 AND day = 9", "FROM flights_log UNION ALL FROM flights_log WHERE month = 1 AND day = 9"},
}

// writtenBy has an engine change rows, and holds what tarn then answers against what it
// answered before.
func (l *flightsLab) writtenBy(p *python, engine string) {
	l.t.Helper()
	content := "SELECT count(*), sum(hash(c)::HUGEINT) FROM (%s) c"
	for _, c := range othersChanges {
		if c.by != engine {
			continue
		}
		want := l.rows(fmt.Sprintf(content, c.expected))
		if slices.Equal(want, l.rows(fmt.Sprintf(content, "FROM "+c.dataset))) {
			l.t.Errorf("%s changes nothing", c.statement)
		}
		switch engine {
		case "DuckDB":
			p.run("duckdb_attached(%s).execute(%q)", l.how, c.statement)
		case "PyIceberg":
			p.run("t = pyiceberg(%s).load_table('main.%s'); %s", l.how, c.dataset, c.statement)
		case "Spark":
			p.run("spark.sql('REFRESH TABLE %s'); spark.sql(%q)", c.dataset, c.statement)
		case "Trino":
			p.run("trino.ask(%q)", c.statement)
		}
		l.want(fmt.Sprintf(content, "FROM "+c.dataset), want...)
	}
}

// realQueriesByAll: the queries of the real-input test by every engine over the catalog:
// the answers are tarn's own, fresh, after changes, after compaction, after schema changes
// and after they wrote themselves. DuckDB, Spark and Trino are asked all of them, the latter
// two in their own words where they have not DuckDB's (testdata/spark.sql, trino.sql). There
// is none that Trino cannot be asked: where it lacks a function (exact quantiles) or a join
// (ASOF), others come to the same.
func realQueriesByAll(t *testing.T, p *python, files string, spark bool, trino trinoAttach) {
	l := &flightsLab{lab: newLab(t, "", func(s *engine.Settings) { s.CompactDeadShare = 0.3 }), queries: realQueries(t), files: files}
	l.how = fmt.Sprintf("%q", l.uri)
	l.fill()
	l.begin(p)
	if spark {
		p.run(`spark_attach(spark, "flights", %s)`, l.how)
	}
	if trino != nil {
		trino(p, "flights", l.how)
	}
	clickHouse := chdbSession(t)
	if clickHouse != nil {
		l.begin(clickHouse)
	}
	check := func(when string) {
		t.Helper()
		answers := l.answers()
		for _, r := range l.readers(spark, trino != nil) {
			l.compare(p, when, answers, r)
		}
		if clickHouse != nil {
			l.compare(clickHouse, when, answers, l.clickHouse())
		}
	}
	check("fresh")
	l.changeRows()
	check("changed")
	l.marked(p)
	l.compactAll(p)
	check("compacted")
	l.evolve()
	check("altered")
	l.marked(p)
	l.writtenBy(p, "DuckDB")
	l.writtenBy(p, "PyIceberg")
	if spark {
		l.writtenBy(p, "Spark")
	}
	if trino != nil {
		l.writtenBy(p, "Trino")
	}
	check("written by others")
	l.raise(p)
	if clickHouse != nil {
		refused := clickHouse.texts("out = differences(%s, queries, %q, %s, 1)", l.clickHouse().ask, l.answers(), pythonList([]string{"one key"}))
		if len(refused) == 0 || !strings.Contains(strings.Join(refused, " "), "only for parquet") {
			t.Errorf("ClickHouse reads deletion vectors now, or says otherwise that it does not: %v", refused)
		}
		clickHouse = nil
	}
	check("with deletion vectors")
	l.whole()
}
