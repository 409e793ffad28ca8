package engine_test

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// The scripted history that the fault tests take a lake through. Every step that
// can be repeated carries an Idempotency-Key of its own.

// step is one thing that a client asks for.
type step struct {
	name string
	do   func(o *opened, key string) error
}

func parsed(s string) lake.Name {
	n, err := lake.ParseName(s)
	if err != nil {
		panic(err)
	}
	return n
}

func idempotency(key string) engine.Idempotency {
	if key == "" {
		return engine.Idempotency{}
	}
	return engine.Idempotency{Key: key, Scope: "POST\n/a/path\n\napplication/x-ndjson"}
}

func sends(dataset string, op engine.ChangeOp, lines ...string) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.changeWith(context.Background(), dataset, op, key, lines...)
		return err
	}
}

// changeWith sends NDJSON lines with an Idempotency-Key.
func (o *opened) changeWith(ctx context.Context, dataset string, op engine.ChangeOp, key string, lines ...string) (engine.ChangeResult, error) {
	return o.Change(ctx, engine.ChangeRequest{
		Dataset: parsed(dataset), Op: op, Format: rows.NDJSON, Body: strings.NewReader(strings.Join(lines, "\n") + "\n"), Idempotency: idempotency(key),
	})
}

func creates(dataset string, s lake.Schema) func(*opened, string) error {
	return createsAs(0, dataset, s)
}

// createsAs makes a dataset whose Iceberg table has a format version.
func createsAs(version int, dataset string, s lake.Schema) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.Create(context.Background(), engine.CreateRequest{Dataset: parsed(dataset), Schema: s, FormatVersion: version, Idempotency: idempotency(key)})
		return err
	}
}

func takesIn(dataset string, mode engine.ImportMode, primaryKey []string, dup engine.OnDuplicate, csv string) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.importWith(context.Background(), dataset, mode, primaryKey, dup, key, csv)
		return err
	}
}

// importWith imports one CSV file with an Idempotency-Key.
func (o *opened) importWith(ctx context.Context, dataset string, mode engine.ImportMode, primaryKey []string, dup engine.OnDuplicate, key, csv string) (engine.ImportResult, error) {
	j, err := o.Import(ctx, engine.ImportRequest{
		Dataset: parsed(dataset), Mode: mode, PrimaryKey: primaryKey, OnDuplicate: dup, Idempotency: idempotency(key),
		Next: once(csv),
	})
	if err != nil {
		return engine.ImportResult{}, err
	}
	r, err := j.Wait(context.Background())
	if err != nil {
		return engine.ImportResult{}, err
	}
	return r.(engine.ImportResult), nil
}

func compacts(dataset string, columns ...string) func(*opened, string) error {
	return func(o *opened, _ string) error {
		_, err := o.tryCompact(dataset, columns...)
		return err
	}
}

// executes runs a statement that would show if it were done twice, or not at all.
func executes(sql string) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.exec(sql, func(r *engine.StatementRequest) { r.Idempotency = idempotency(key) })
		return err
	}
}

// defines makes or drops a dataset by a statement.
func defines(sql string) func(*opened, string) error {
	return func(o *opened, key string) error {
		_, err := o.define(sql, func(r *engine.DefinitionRequest) { r.Idempotency = idempotency(key) })
		return err
	}
}

func tidies(o *opened, _ string) error { return o.Tidy(context.Background()) }

// spoolBytes is small in these tests, so that a body of a few rows is a large
// change: a job makes its delta.
const spoolBytes = 400

// largeBody is more than spoolBytes of rows for people.
func largeBody(from, to int) []string {
	var lines []string
	for i := from; i < to; i++ {
		lines = append(lines, fmt.Sprintf(`{"id":%d,"name":"one of many","pay":"%d.25"}`, i, i))
	}
	return lines
}

// noRetention lets Tidy take away everything that the present does not need.
func noRetention(s *engine.Settings) {
	s.SnapshotRetention, s.DeltaRetention, s.IdempotencyRetention, s.IcebergFileGrace = 1, 1, 1, 1
}

// history takes a lake through every kind of durable step.
func historySteps(people, log lake.Schema) []step {
	return []step{
		{"create people", createsAs(3, "people", people)},
		{"upsert", sends("people", engine.OpUpsert, `{"id":1,"name":"Ann","pay":"1.50"}`, `{"id":2,"name":"Bob","pay":"2.50"}`)},
		{"create log", creates("log", log)},
		{"append", sends("log", engine.OpUpsert, `{"who":"a","n":1}`, `{"who":"b","n":2}`)},
		{"large upsert", sends("people", engine.OpUpsert, largeBody(10, 22)...)},
		{"delete", sends("people", engine.OpDelete, `{"id":2}`, `{"id":11}`)},
		{"import create", takesIn("sales", engine.ImportCreate, []string{"id"}, engine.DuplicateError, "id,v\n1,x\n2,y\n3,z\n")},
		{"fold", compacts("people")},
		{"append again", sends("log", engine.OpUpsert, `{"who":"a","n":3}`)},
		{"import append", takesIn("sales", engine.ImportAppend, nil, engine.DuplicateLast, "id,v\n3,Z\n4,w\n")},
		{"changes", sends("people", engine.OpChanges, `{"op":"delete","key":{"id":1}}`, `{"op":"upsert","row":{"id":2,"name":"Bo","pay":null}}`)},
		{"update", executes("UPDATE people SET pay = coalesce(pay, 0) + 1 WHERE id < 15")},
		{"update log", executes("UPDATE log SET n = n + 1 WHERE who = 'a' AND n < 3")},
		{"insert", executes("INSERT INTO people SELECT id + 100, name, pay * 2 FROM people WHERE id >= 10")},
		{"alter", alters("people ADD COLUMN note VARCHAR, RENAME pay TO wage, ALTER wage TYPE DECIMAL(20,2), DROP name")},
		{"update altered", executes("UPDATE people SET note = 'n' || id WHERE wage > 20")},
		{"transaction", transacts("BEGIN; UPDATE people SET note = coalesce(note, '') || '.' WHERE id > 12; INSERT INTO log SELECT note, id FROM people WHERE id = 14; DELETE FROM sales WHERE id = 1; UPDATE people SET note = note || '+' WHERE id = 14; COMMIT")},
		{"tidy", tidies},
		{"dedupe", compacts("log", "who")},
		{"fold again", compacts("people")},
		{"import into log", takesIn("log", engine.ImportAppend, nil, "", "who,n\nc,9\na,10\n")},
		{"merge into log", executes("MERGE INTO log USING people p ON log.n = p.id WHEN MATCHED THEN DELETE WHEN NOT MATCHED AND p.id > 118 THEN INSERT VALUES ('new', p.id)")},
		{"rename", func(o *opened, key string) error {
			_, err := o.Rename(context.Background(), parsed("sales"), parsed("shop.sales"), idempotency(key))
			return err
		}},
		{"upsert renamed", sends("shop.sales", engine.OpUpsert, `{"id":9,"v":"nine"}`)},
		{"replace", takesIn("shop.sales", engine.ImportReplace, nil, "", "id,v\n5,five\n6,six\n")},
		{"upsert replaced", sends("shop.sales", engine.OpUpsert, `{"id":6,"v":"SIX"}`)},
		{"transaction over namespaces", transacts("BEGIN; UPDATE shop.sales SET v = v || '?'; INSERT INTO people (id, note) SELECT id + 500, v FROM shop.sales; COMMIT")},
		{"alter replaced", alters("shop.sales RENAME v TO w, ALTER w SET NOT NULL, ADD v BIGINT")},
		{"drop", func(o *opened, key string) error {
			return o.Drop(context.Background(), parsed("log"), idempotency(key))
		}},
		{"tidy all", tidies},
		{"create log anew", creates("log", people)},
		{"upsert anew", sends("log", engine.OpUpsert, `{"id":7,"name":null,"pay":"7.00"}`)},
		{"create by SQL", defines("CREATE TABLE sql.made (id BIGINT PRIMARY KEY, name VARCHAR)")},
		{"create as", defines("CREATE TABLE sql.copies (PRIMARY KEY (id)) AS SELECT id, coalesce(note, 'none') AS name FROM people WHERE id > 10")},
		{"update copies", executes("UPDATE sql.copies SET name = name || '!' WHERE id > 100")},
		{"drop by SQL", defines("DROP TABLE sql.made")},
		{"fold shop", compacts("shop.sales")},
		{"tidy at last", tidies},
	}
}

// content is every row of every dataset as one text, and the counts of describe.
func (o *opened) content() (string, error) {
	all, err := o.List(context.Background(), nil)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, d := range all {
		if d.Problem != "" { // also where an image answers the query below meanwhile
			return "", lake.Errorf(lake.CodeDamaged, "%s: %s", d.Dataset, d.Problem)
		}
		got, err := o.tryRows("select * from " + d.Dataset + " order by all")
		if err != nil {
			return "", fmt.Errorf("%s: %w", d.Dataset, err)
		}
		if d.Rows != int64(len(got)) {
			return "", fmt.Errorf("%s: describe counts %d rows of %d", d.Dataset, d.Rows, len(got))
		}
		fmt.Fprintf(&b, "%s %s\n", d.Dataset, strings.Join(got, " "))
	}
	return b.String(), nil
}

// wrong is what Verify finds, as an error.
func (o *opened) wrong() error {
	r, err := o.Verify(context.Background(), nil)
	if err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	if len(r.Findings) > 0 {
		return fmt.Errorf("verify found %v", r.Findings)
	}
	return nil
}

// statesOf runs the steps on a lake of its own and gives its content before the
// first and after each.
func statesOf(o *opened, steps []step) ([]string, error) {
	states := []string{""}
	for i, s := range steps {
		if err := s.do(o, stepKey(i)); err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		now, err := o.content()
		if err != nil {
			return nil, fmt.Errorf("after %s: %w", s.name, err)
		}
		states = append(states, now)
	}
	return states, o.wrong()
}

func stepKey(i int) string { return fmt.Sprintf("step-%d", i) }

var errWrongState = errors.New("the lake holds something else")
