package demo

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"tarn/internal/demo/staffing"
)

const (
	joinSQL = `select c.city, t.status, count(*) as sheets, sum(t.hours_regular*t.bill_rate) as billed, avg(c.pay_rate) as pay
from timesheets t join candidates c on c.candidate_id=t.candidate_id group by c.city, t.status order by billed desc, c.city, t.status`

	filterSQL = `select candidate_id, first_name, last_name, city, years, pay_rate from candidates
where state='CA' and status='active' and years>=5 order by candidate_id limit 100`

	filterLimit = 100
	leastRows   = 1_000 // of timesheets, for the changes to be some of them
)

// staffing is the tour on the data set that it makes itself.
func (t *tour) staffing(ctx context.Context) error {
	set, err := staffing.New(t.Seed, t.Scale)
	if err != nil {
		return err
	}
	if sheets, _ := set.Table("timesheets"); sheets.Rows < leastRows {
		return fmt.Errorf("at scale %v there are %d timesheets; the tour needs %d", t.Scale, sheets.Rows, leastRows)
	}
	dir := t.Keep
	if dir == "" {
		if dir, err = os.MkdirTemp("", "tarn-demo-*"); err != nil {
			return err
		}
		defer func() { _ = os.RemoveAll(dir) }() // only made files; the tour's outcome stands
	}
	files, err := t.makeData(ctx, set, dir)
	if err != nil {
		return err
	}
	if err := t.importSet(ctx, set, files); err != nil {
		return err
	}
	want := newExpected(set)
	if err := t.ask(ctx, want); err != nil {
		return err
	}
	if err := t.change(ctx, want); err != nil {
		return err
	}
	if err := t.compact(ctx, want); err != nil {
		return err
	}
	return t.crash(ctx, newSheetLoad(set, want))
}

// makeData writes the tables as Parquet and gives their paths.
func (t *tour) makeData(ctx context.Context, set *staffing.Set, dir string) (map[string]string, error) {
	t.step(fmt.Sprintf("Make the data: a staffing agency, %s rows (seed %d)", count(set.Rows()), set.Seed))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	began := time.Now()
	files := map[string]string{}
	for _, table := range set.Tables() {
		path, err := set.WriteParquet(ctx, table, dir, nil)
		if err != nil {
			return nil, err
		}
		files[table.Name] = path
	}
	t.say("%d Parquet files, %s, in %s", len(files), bytesShown(folderBytes(dir)), took(time.Since(began)))
	return files, nil
}

// importSet starts the server and brings the tables in, each with its key.
// Compaction waits until the tour asks for it, so that its counts are known.
func (t *tour) importSet(ctx context.Context, set *staffing.Set, files map[string]string) error {
	t.step("Start a server and import, each dataset with its primary key")
	if err := t.start(ctx, "--no-compact-auto"); err != nil {
		return err
	}
	t.say("tarn serve, process %d, at %s", t.server.pid(), t.server.url)
	list := importList(&t.report, set.Tables(), func(table staffing.Table) string { return table.Name })
	began, total := time.Now(), int64(0)
	for _, table := range set.Tables() {
		start := time.Now()
		r, err := t.lake.importFile(ctx, table.Name, files[table.Name], table.Key)
		if err != nil {
			return err
		}
		total += r.Rows
		list(table.Name, count(r.Rows), strings.Join(table.Key, ", "), took(time.Since(start)))
	}
	t.equal(fmt.Sprintf("rows imported in %s", took(time.Since(began))), total, set.Rows())
	return nil
}

// ask runs the two queries of the tour from files and from memory, and compares
// each answer with the arithmetic.
func (t *tour) ask(ctx context.Context, want *expected) error {
	sheets, _ := want.set.Table("timesheets")
	people, _ := want.set.Table("candidates")
	t.step(fmt.Sprintf("Ask: join %s timesheets with %s candidates and aggregate", count(sheets.Rows), count(people.Rows)))
	before, err := t.showCache(ctx, "the cache")
	if err != nil {
		return err
	}
	cold, err := t.askCold(ctx, joinSQL, "timesheets", "candidates")
	if err != nil {
		return err
	}
	t.say("select c.city, t.status, count(*), sum(t.hours_regular*t.bill_rate), avg(c.pay_rate) ... group by c.city, t.status")
	var rows [][]string
	for _, row := range cold.rows[:min(3, len(cold.rows))] {
		rows = append(rows, []string{fmt.Sprint(row[0]), fmt.Sprint(row[1]), fmt.Sprint(row[2]), fmt.Sprint(row[3])})
	}
	t.table([]string{"city", "status", "sheets", "billed"}, []bool{false, false, true, true}, rows)
	t.checkJoin(want, cold.answer, "from Parquet in "+took(cold.median))
	if err := t.pin(ctx, "timesheets", "candidates"); err != nil {
		return err
	}
	hot, err := t.askHot(ctx, joinSQL)
	if err != nil {
		return err
	}
	t.checkJoin(want, hot.answer, "from memory in "+took(hot.median))
	t.say("%s", faster(cold, hot))
	again, err := t.askAgain(ctx, joinSQL)
	if err != nil {
		return err
	}
	t.checkJoin(want, again.answer, "asked again, with nothing changed, in "+took(again.median))

	t.step(fmt.Sprintf("Ask: filter %s candidates", count(people.Rows)))
	if cold, err = t.askCold(ctx, filterSQL, "candidates"); err != nil {
		return err
	}
	t.checkFilter(want, cold.answer, "from Parquet in "+took(cold.median))
	if err := t.pin(ctx, "candidates"); err != nil {
		return err
	}
	if hot, err = t.askHot(ctx, filterSQL); err != nil {
		return err
	}
	t.checkFilter(want, hot.answer, "from memory in "+took(hot.median))
	t.say("%s", faster(cold, hot))
	return t.cache(ctx, before)
}

func (t *tour) checkFilter(want *expected, a answer, how string) {
	keys := want.wanted()
	right := len(a.rows) == min(len(keys), filterLimit)
	for i, row := range a.rows {
		right = right && fmt.Sprint(row[0]) == fmt.Sprint(keys[i])
	}
	t.check(right, "%d rows %s: exactly the first of the %s that match", len(a.rows), how, count(int64(len(keys))))
}

// checkJoin compares every group of the join, to the ten-thousandth.
func (t *tour) checkJoin(want *expected, a answer, how string) {
	wrong, sheets := want.compare(a.rows), int64(0)
	for _, sum := range want.groups {
		sheets += sum.sheets
	}
	if wrong != "" {
		t.check(false, "the join's answer differs from the arithmetic: %s", wrong)
		return
	}
	t.check(true, "%d groups over %s timesheets %s, every count and sum as computed from the rows", len(a.rows), count(sheets), how)
}

// askJoin runs the join on what is in memory and compares it.
func (t *tour) askJoin(ctx context.Context, want *expected) error {
	hot, err := t.askHot(ctx, joinSQL)
	if err != nil {
		return err
	}
	t.checkJoin(want, hot.answer, "from memory in "+took(hot.median))
	return nil
}
