package serving

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sort"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// twoTowns are two hot datasets with columns of few texts, nulls and an empty text
// among them.
func twoTowns(t *testing.T, o Options) *testLake {
	o.ImageBudgetBytes = ample
	l := newTestLake(t, o).begin()
	people := schemaOf(t, "id", "id BIGINT", "city VARCHAR", "status VARCHAR", "pay DECIMAL(10,2)")
	sheets := schemaOf(t, "no", "no BIGINT", "id BIGINT", "Status VARCHAR", "hours DOUBLE", "note VARCHAR")
	text := func(s string) string {
		if s == "" {
			return "null"
		}
		return fmt.Sprintf("%q", strings.TrimSuffix(s, "."))
	}
	cities := []string{"Oslo", "Bergen", "O'Hare", "", ".", "Å \\ \"x\""}
	statuses := []string{"open", "done", "", "."}
	var a, b []string
	for i := range 500 {
		a = append(a, fmt.Sprintf(`{"id":%d,"city":%s,"status":%s,"pay":"%d.25"}`, i, jsonText(cities[i%len(cities)]), text(statuses[i*7%len(statuses)]), i%50))
	}
	for i := range 2000 {
		b = append(b, fmt.Sprintf(`{"no":%d,"id":%d,"Status":%s,"hours":%d.5,"note":"n%d"}`, i, i*13%600, text(statuses[i%len(statuses)]), i%9, i))
	}
	for uuid, x := range map[string]struct {
		schema lake.Schema
		rows   []string
	}{"people": {people, a}, "sheets": {sheets, b}} {
		f := l.baseFile(x.schema, x.rows, nil)
		l.tell(publishEntry(lake.Publish{TableUUID: uuid, Name: name(uuid), Schema: x.schema, Files: []lake.BaseFile{f}}))
		l.load(uuid)
	}
	return l
}

func jsonText(s string) string {
	switch s {
	case "":
		return "null"
	case ".":
		return `""`
	}
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// groupings are queries that group in all sorts of ways.
var groupings = []string{
	"select city, count(*) from people group by city",
	"select CITY, count(*) from people group by City",
	"select p.city, p.city as again, count(*) from people p group by p.city",
	"select count(*), max(pay) from people group by city",
	"select city, status, sum(pay) from people group by city, status",
	"select city, status, sum(pay) from people group by 2, 1",
	"select city town, count(*) n from people where city > 'B' and status is not null group by 1 order by town desc nulls first, n limit 4",
	"select p.city, s.status, count(*), sum(s.hours), avg(p.pay) from sheets s join people p on p.id = s.id group by p.city, s.status",
	"select p.city, s.status, count(*) from sheets s left join people p on p.id = s.id group by p.city, s.status order by 1, 2",
	"select p.city, count(*) from sheets s join people p using (id) group by p.city",
	"select main.people.city, count(*) from people group by main.people.city",
	"select p.status, s.status, count(*) from people p, sheets s where p.id = s.id group by p.status, s.status",
	"select s.status, s.hours, count(distinct p.city) from sheets s join people p on p.id = s.id group by s.status, s.hours",
	"select city, count(*) from people group by all",
	"select city, count(*) from people group by rollup (city)",
	"select upper(city), count(*) from people group by city",
	"select city || '!', count(*) from people group by city",
	"select city, count(*) from people group by city having city >= 'O'",
	"select city, count(*) from people group by city having count(*) > 84",
	"select city, typeof(city), count(*) from people group by city",
	"select city, row_number() over (order by city) from people group by city",
	"select city, row_number() over (order by count(*), city) from people group by city order by city",
	"select city, list(distinct status order by status) from people group by city",
	"select city, string_agg(status, ',' order by id) from people where id < 20 group by city",
	"select city from people group by city order by lower(city)",
	"select city, (select count(*) from sheets s where s.status = people.city) from people group by city",
	"select city from people where status in (select status from sheets group by status) group by city",
	"select city as status, status as city, count(*) from people group by people.city, people.status order by city, status",
	"select x.city, count(*) from (select city from people) x group by x.city",
	"select city, count(*) filter (where city = 'Oslo') from people group by city",
	"select note, count(*) from sheets group by note order by note limit 5",
	"select status, count(*) from sheets where status = ? group by status",
	"select \"city\", grouping(city), count(*) from people group by \"city\"",
	"select distinct city, count(*) from people group by city",
	"select city, count(*) from people group by city union all select status, 1 from sheets group by status",
	"select city, any_value(city) from people group by city",
	"select city, max(people) from people group by city",
	"select city, max(p)::VARCHAR from people p group by city",
	"select city, count(_tarn_code_1) from people group by city",
	"select city, count(\"_TARN_CODE_1\") from people group by city",
	"select city, count(*) from people group by city having count(columns('c.*')) > 3",
	"select p.city, count(*) from people as p group by p.city qualify row_number() over (order by p.city) < 3",
}

// answerTo gives columns and rows of a query, or its error in place of the columns.
func answerTo(t *testing.T, l *testLake, req Request) (head string, rows []string) {
	t.Helper()
	a, err := l.s.Query(l.context(), req)
	if err != nil {
		return err.Error(), nil
	}
	defer a.Close()
	if rows, err = read(l.context(), a); err != nil {
		t.Fatalf("%s: %v", req.SQL, err)
	}
	return fmt.Sprint(a.Columns, a.Schema), rows
}

// answersOf runs the queries and gives columns and rows, sorted.
func answersOf(t *testing.T, l *testLake) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, sql := range groupings {
		req := Request{SQL: sql, See: l.number}
		if strings.Contains(sql, "?") {
			req.Params.Positional = []any{"done"}
		}
		head, got := answerTo(t, l, req)
		sort.Strings(got)
		out[sql] = head + strings.Join(got, "\n")
	}
	return out
}

// I3: grouped by codes or by texts, the answers are the same, names and types and
// all, while rows come, go and bring new texts, until there are too many of them.
func TestGroupedByCodesTheAnswersAreTheSame(t *testing.T) {
	coded, plain := twoTowns(t, Options{}), twoTowns(t, Options{NoCodes: true})
	random := rand.New(rand.NewPCG(1, 2))
	recoded := func(sql string) bool {
		sess, err := coded.s.pool.get(coded.context())
		if err != nil {
			t.Fatal(err)
		}
		defer coded.s.pool.put(sess, true)
		p, err := coded.s.admit(coded.context(), sess, Request{SQL: sql})
		if err != nil {
			t.Fatal(err)
		}
		r, err := coded.s.begin(coded.context(), sess, p, coded.number, false)
		if err != nil {
			t.Fatal(err)
		}
		defer r.end(context.Background())
		_, ok := coded.s.recode(p, r)
		return ok
	}
	compare := func(step string) {
		t.Helper()
		got, want := answersOf(t, coded), answersOf(t, plain)
		for _, sql := range groupings {
			if got[sql] != want[sql] {
				t.Errorf("%s: %s\nby codes %s\nby texts %s", step, sql, got[sql], want[sql])
			}
		}
	}
	compare("as loaded")
	for _, sql := range groupings[:10] {
		if !recoded(sql) {
			t.Errorf("%s is not grouped by codes", sql)
		}
	}
	for _, sql := range groupings[13:18] {
		if recoded(sql) {
			t.Errorf("%s is grouped by codes", sql)
		}
	}
	s := schemaOf(t, "id", "id BIGINT", "city VARCHAR", "status VARCHAR", "pay DECIMAL(10,2)")
	for round := range 6 {
		var changes []change
		for range 40 {
			id := random.IntN(700)
			if random.IntN(4) == 0 {
				changes = append(changes, change{key: fmt.Sprintf(`{"id":%d}`, id)})
				continue
			}
			city := jsonText(fmt.Sprint("town ", random.IntN(1+round*100)))
			changes = append(changes, change{row: fmt.Sprintf(`{"id":%d,"city":%s,"status":%s,"pay":"1.00"}`, id, city, jsonText([]string{"open", "new", ""}[random.IntN(3)]))})
		}
		for _, l := range []*testLake{coded, plain} {
			l.tell(applyEntry("people", l.delta("people", s, int64(round+1), latestOf(changes))))
		}
		compare(fmt.Sprint("round ", round))
	}
	var many []change
	for i := range 300 {
		many = append(many, change{row: fmt.Sprintf(`{"id":%d,"city":"many %d","status":"open","pay":"1.00"}`, i, i)})
	}
	for _, l := range []*testLake{coded, plain} {
		l.tell(applyEntry("people", l.delta("people", s, 7, many)))
	}
	compare("too many")
	if recoded(groupings[0]) {
		t.Error("the codes of city have ended")
	}
	if !recoded("select status, count(*) from people group by status") {
		t.Error("those of status have not")
	}
	coded.load("people") // as it is hot already, nothing happens
	if _, err := coded.s.DropImage(coded.context(), "people", coded.number); err != nil {
		t.Fatal(err)
	}
	compare("one cold")
}

// latestOf keeps the last change of each key, in order.
func latestOf(changes []change) []change {
	var out []change
	seen := map[string]bool{}
	for i := len(changes) - 1; i >= 0; i-- {
		text := changes[i].row + changes[i].key
		key, _, _ := strings.Cut(strings.TrimSuffix(strings.TrimPrefix(text, `{"id":`), "}"), ",")
		if !seen[key] {
			seen[key] = true
			out = append([]change{changes[i]}, out...)
		}
	}
	return out
}
