package serving

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"tarn/internal/keys"
	"tarn/internal/lake"
)

// shape is a kind of dataset that the model test makes: its schema and how a
// key (a small number) and a row are spelled in JSON as answers spell them.
type shape struct {
	name   string
	schema func(t testing.TB) lake.Schema
	key    func(k int) string // the fields of the key, without braces
	rest   func(r *rand.Rand) string
}

var shapes = []shape{
	{
		name: "bigint",
		schema: func(t testing.TB) lake.Schema {
			return schemaOf(t, "id", "id BIGINT", "name VARCHAR", "price DECIMAL(10,2)", "at TIMESTAMP WITH TIME ZONE", "u UUID", "tags VARCHAR[]", "p STRUCT(a BIGINT, b VARCHAR)", "m MAP(VARCHAR, DOUBLE)")
		},
		key: func(k int) string { return fmt.Sprintf(`"id":%d`, k-30) },
		rest: func(r *rand.Rand) string {
			if r.IntN(5) == 0 {
				return `,"name":null,"price":null,"at":null,"u":null,"tags":null,"p":null,"m":null`
			}
			return fmt.Sprintf(`,"name":"n%d","price":"%d.%02d","at":"2024-01-02T03:04:%02dZ","u":"00000000-0000-4000-8000-%012d","tags":["a",null,"%d"],"p":{"a":%d,"b":null},"m":[["x",%d.5]]`,
				r.IntN(50), r.IntN(1000), r.IntN(100), r.IntN(60), r.IntN(1000), r.IntN(9), r.IntN(9), r.IntN(9))
		},
	},
	{
		name:   "varchar",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "k", "v DOUBLE", "k VARCHAR") },
		key: func(k int) string {
			return fmt.Sprintf(`"k":"%s%d%s"`, strings.Repeat("é", k%3), k, []string{"", "'", `');--`, `\u0000`}[k%4])
		},
		rest: func(r *rand.Rand) string { return fmt.Sprintf(`,"v":%d.25`, r.IntN(100)) },
	},
	{
		name:   "integer",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "i", "x BOOLEAN", "i INTEGER") },
		key:    func(k int) string { return fmt.Sprintf(`"i":%d`, (k-30)*70_000_000) },
		rest:   func(r *rand.Rand) string { return fmt.Sprintf(`,"x":%v`, r.IntN(2) == 0) },
	},
	{
		name:   "blob",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "b", "b BLOB", "n BIGINT") },
		key: func(k int) string {
			return fmt.Sprintf(`"b":%q`, base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{byte(k * 5)}, k)))
		},
		rest: func(r *rand.Rand) string { return fmt.Sprintf(`,"n":%d`, r.IntN(100)) },
	},
	{
		name: "composite",
		schema: func(t testing.TB) lake.Schema {
			return schemaOf(t, "region,day", "day DATE", "Region VARCHAR", "n INTEGER", "ok BOOLEAN")
		},
		key: func(k int) string {
			return fmt.Sprintf(`"Region":"r%d","day":"2024-02-%02d"`, k%5, 1+k/5)
		},
		rest: func(r *rand.Rand) string { return fmt.Sprintf(`,"n":%d,"ok":%v`, r.IntN(9), r.IntN(2) == 0) },
	},
	{
		name:   "decimal",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "d", "d DECIMAL(38,2)", "x BLOB") },
		key:    func(k int) string { return fmt.Sprintf(`"d":"%d.%02d"`, 20-k, k) },
		rest:   func(*rand.Rand) string { return `,"x":"AAEC"` },
	},
	{
		name:   "uuid",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "id", "id UUID", "t TIME") },
		key: func(k int) string {
			return fmt.Sprintf(`"id":"%08x-0000-4000-8000-000000000000"`, uint32(k)*0x07000000)
		},
		rest: func(r *rand.Rand) string { return fmt.Sprintf(`,"t":"01:02:%02d"`, r.IntN(60)) },
	},
	{
		name:   "timestamp",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "at,b", "at TIMESTAMP", "b BLOB", "x FLOAT") },
		key: func(k int) string {
			return fmt.Sprintf(`"at":"2024-01-01T00:%02d:00","b":"%s"`, k/4, []string{"", "AA==", "AAA=", "/w=="}[k%4])
		},
		rest: func(r *rand.Rand) string { return fmt.Sprintf(`,"x":%d.5`, r.IntN(100)) },
	},
	{
		name:   "keyless",
		schema: func(t testing.TB) lake.Schema { return schemaOf(t, "", "a BIGINT", "b VARCHAR") },
		key:    func(k int) string { return fmt.Sprintf(`"a":%d`, k) },
		rest:   func(r *rand.Rand) string { return fmt.Sprintf(`,"b":"%d"`, r.IntN(100)) },
	},
}

// modelled is a dataset with what it must hold as of each sequence.
type modelled struct {
	shape
	schema   lake.Schema
	uuid     string
	at       lake.Name
	states   []map[int]string // by sequence: key → row; keyless: arrival → row
	deltas   []lake.Delta
	folded   int64
	files    []lake.BaseFile
	arrivals int
	snapshot int
	renamed  bool
	hot      bool // by what was asked for
}

func (m *modelled) last() int64 { return int64(len(m.states) - 1) }

func (m *modelled) rows() []string {
	return slices.Collect(maps.Values(m.states[m.last()]))
}

// step makes a random delta and gives its entry.
func (m *modelled) step(l *testLake, r *rand.Rand) lake.Entry {
	next := maps.Clone(m.states[m.last()])
	var changes []change
	n := r.IntN(12)
	if r.IntN(6) == 0 {
		n = 40 // large by the test's setting
	}
	used := map[int]bool{}
	for range n {
		k := r.IntN(60)
		if !m.schema.Keyed() {
			m.arrivals++
			row := "{" + m.key(k) + m.rest(r) + "}"
			next[m.arrivals] = row
			changes = append(changes, change{row: row})
			continue
		}
		if used[k] {
			continue
		}
		used[k] = true
		if r.IntN(3) == 0 {
			delete(next, k)
			changes = append(changes, change{key: "{" + m.key(k) + "}"})
		} else {
			next[k] = "{" + m.key(k) + m.rest(r) + "}"
			changes = append(changes, change{row: next[k]})
		}
	}
	m.states = append(m.states, next)
	d := l.delta(m.uuid, m.schema, m.last(), changes)
	m.deltas = append(m.deltas, d)
	return applyEntry(m.uuid, d)
}

// fold writes the state as of a sequence as new base files.
func (m *modelled) fold(l *testLake, r *rand.Rand, through int64) lake.Entry {
	state := m.states[through]
	order := slices.Sorted(maps.Keys(state))
	if m.schema.Keyed() {
		order = m.byKey(l.t, order)
	}
	m.files = nil
	for len(order) > 0 {
		n := min(1+r.IntN(20), len(order))
		var objects, dead []string
		for _, k := range order[:n] {
			objects = append(objects, state[k])
		}
		if r.IntN(4) == 0 { // rows that a delete file takes away again
			for range 1 + r.IntN(3) {
				dead = append(dead, "{"+m.key(r.IntN(60))+m.rest(r)+"}")
			}
		}
		f := l.baseFile(m.schema, objects, dead)
		switch r.IntN(8) {
		case 0:
			f.Lower = nil
		case 1:
			f.Upper = nil
		}
		m.files = append(m.files, f)
		order = order[n:]
	}
	m.folded = through
	m.snapshot++
	return m.publish(r.IntN(3) == 0 && through == m.last())
}

// replace takes the next sequence by an empty delta and writes other content.
func (m *modelled) replace(l *testLake, r *rand.Rand) lake.Entry {
	next := map[int]string{}
	for range r.IntN(40) {
		k := r.IntN(60)
		if !m.schema.Keyed() {
			m.arrivals++
			next[m.arrivals] = "{" + m.key(k) + m.rest(r) + "}"
			continue
		}
		next[k] = "{" + m.key(k) + m.rest(r) + "}"
	}
	m.states = append(m.states, next)
	m.deltas = append(m.deltas, l.delta(m.uuid, m.schema, m.last(), nil))
	m.fold(l, r, m.last())
	return m.publish(true)
}

// rename gives the dataset its other name.
func (m *modelled) rename() lake.Entry {
	m.at = lake.Name{Namespace: "main", Dataset: "d"}
	if m.renamed = !m.renamed; m.renamed {
		m.at = lake.Name{Namespace: "other", Dataset: "e"}
	}
	return lake.Entry{Rename: &lake.Rename{TableUUID: m.uuid, To: m.at}}
}

// flip makes a cold dataset hot and a hot one cold.
func (m *modelled) flip(l *testLake) {
	l.t.Helper()
	if m.hot = !m.hot; m.hot {
		l.load(m.uuid)
		return
	}
	if _, err := l.s.DropImage(l.context(), m.uuid, l.number); err != nil {
		l.t.Fatal(err)
	}
}

// byKey sorts keys as the base sorts them.
func (m *modelled) byKey(t testing.TB, ks []int) []int {
	schema := m.schema.KeySchema()
	at := make([]int, len(schema.Columns))
	for i := range at {
		at[i] = i
	}
	enc := keys.NewEncoder(schema, at)
	encoded := map[int]string{}
	for _, k := range ks {
		rec := decode(t, schema, []string{"{" + m.key(k) + "}"})[0]
		encoded[k] = string(enc.Append(nil, rec, 0))
	}
	slices.SortFunc(ks, func(a, b int) int { return strings.Compare(encoded[a], encoded[b]) })
	return ks
}

func (m *modelled) publish(content bool) lake.Entry {
	m.hot = m.hot && !content
	snapshot := fmt.Sprint(m.snapshot)
	p := lake.Publish{TableUUID: m.uuid, Name: m.at, Schema: m.schema, Files: slices.Clone(m.files),
		FoldedThrough: m.folded, Sequence: m.last(), Content: content}
	if m.snapshot > 0 {
		p.Snapshot = &snapshot
	}
	return publishEntry(p)
}

// replay is what a new worker hears of the dataset.
func (m *modelled) replay() []lake.Entry {
	out := []lake.Entry{m.publish(false)}
	if pending := m.deltas[m.folded:]; len(pending) > 0 {
		out = append(out, applyEntry(m.uuid, pending...))
	}
	return out
}

// check compares everything that a reader can see with the model.
func (m *modelled) check(l *testLake, r *rand.Rand) {
	t := l.t
	t.Helper()
	got, a := l.ask("SELECT * FROM " + m.at.String())
	same(t, m.at.String(), got, m.rows())
	for i, c := range a.Columns {
		want := m.schema.Columns[i]
		if c.Name != want.Name || c.Type != want.Type.SQL() {
			t.Fatalf("column %d is %s %s, want %s %s", i, c.Name, c.Type, want.Name, want.Type.SQL())
		}
	}
	place := a.ReadPoints[m.at.String()]
	if place.TableUUID != m.uuid || place.Sequence != m.last() {
		t.Fatalf("read point %+v, want %s.%d", place, m.uuid, m.last())
	}
	if (place.Snapshot == nil) != (m.snapshot == 0) || place.Snapshot != nil && *place.Snapshot != fmt.Sprint(m.snapshot) {
		t.Fatalf("snapshot %v, want %d", place.Snapshot, m.snapshot)
	}
	from := lake.ServedFromParquet
	if m.hot {
		from = lake.ServedFromImage
	}
	if a.ServedFrom[m.at.String()] != from {
		t.Fatalf("served from %v, want %s: %+v", a.ServedFrom, from, l.s.Images())
	}
	if !m.hot && r.IntN(3) == 0 {
		l.untilPlaced(m.at)
		got, _ = l.ask("SELECT * FROM " + m.at.String())
		same(t, m.at.String()+" with all keys placed", got, m.rows())
	}
	got, _ = l.ask("SELECT count(*) AS n FROM " + m.at.String())
	same(t, "count", got, []string{fmt.Sprintf(`{"n":%d}`, len(m.rows()))})
	if m.schema.Keyed() {
		m.checkGet(l, r)
	}
}

func (m *modelled) checkGet(l *testLake, r *rand.Rand) {
	t := l.t
	t.Helper()
	n := 1 + r.IntN(4)
	if r.IntN(3) == 0 {
		n = 45
	}
	var keyRows, want []string
	asked := map[int]bool{}
	for range n {
		k := r.IntN(60)
		keyRows = append(keyRows, "{"+m.key(k)+"}")
		if row, ok := m.states[m.last()][k]; ok && !asked[k] {
			want = append(want, row)
		}
		asked[k] = true
	}
	ctx, stop := context.WithTimeout(context.Background(), 30*time.Second)
	defer stop()
	a, err := l.s.Get(ctx, GetRequest{TableUUID: m.uuid, Keys: decode(t, m.schema.KeySchema(), keyRows), See: l.number})
	if err != nil {
		t.Fatal(err)
	}
	got, err := read(ctx, a)
	a.Close()
	if err != nil {
		t.Fatal(err)
	}
	same(t, "get", got, want)
}

// Random histories over every shape: after each step a reader sees exactly what
// a Go map says, whatever stands in files, tail, large deltas or image.
// (I1, I3) Each state is read twice: as the dataset is, and after it was made hot
// or cold.
func TestModel(t *testing.T) {
	for _, sh := range shapes {
		for seed := range uint64(3) {
			t.Run(fmt.Sprintf("%s/%d", sh.name, seed), func(t *testing.T) {
				t.Parallel()
				r := rand.New(rand.NewPCG(seed, 7))
				l := newTestLake(t, Options{LargeDeltaBytes: 3000, ImageBudgetBytes: ample}).begin()
				m := &modelled{shape: sh, schema: sh.schema(t), uuid: fmt.Sprintf("0000-%s-%d", sh.name, seed),
					at: lake.Name{Namespace: "main", Dataset: "d"}, states: []map[int]string{{}}}
				l.tell(m.publish(false))
				m.check(l, r)
				for range 25 {
					switch r.IntN(10) {
					case 0, 1, 2, 3:
						l.tell(m.step(l, r))
					case 4:
						var entries []lake.Entry
						for range 2 + r.IntN(6) {
							entries = append(entries, m.step(l, r))
						}
						l.tell(entries...)
					case 5: // folded while changes went on
						l.tell(m.fold(l, r, m.folded+r.Int64N(m.last()-m.folded+1)))
					case 6: // all of it, in one batch with changes before and after
						l.tell(m.step(l, r), m.fold(l, r, m.last()), m.step(l, r))
					case 7:
						l.tell(m.rename())
					case 8:
						l.tell(m.step(l, r), m.replace(l, r), m.step(l, r))
					case 9:
						m.hot = false
						l.s.Close()
						l.open()
						if err := l.s.Replay(t.Context(), m.replay(), l.number); err != nil {
							t.Fatal(err)
						}
					}
					m.check(l, r)
					m.flip(l)
					m.check(l, r)
					if r.IntN(2) == 0 {
						m.flip(l)
					}
				}
				l.checkMemory()
				l.tell(lake.Entry{Drop: &lake.Drop{TableUUID: m.uuid}})
				l.checkEmpty()
			})
		}
	}
}
