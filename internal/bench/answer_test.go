package bench

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
)

func record(t *testing.T, fields []arrow.Field, json string) arrow.RecordBatch {
	t.Helper()
	rec, _, err := array.RecordFromJSON(memory.DefaultAllocator, arrow.NewSchema(fields, nil), strings.NewReader(json))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(rec.Release)
	return rec
}

func digestOf(recs ...arrow.RecordBatch) (d digest) {
	for _, r := range recs {
		d.add(r)
	}
	return d
}

var twoTexts = []arrow.Field{{Name: "a", Type: arrow.BinaryTypes.String, Nullable: true}, {Name: "b", Type: arrow.BinaryTypes.String, Nullable: true}}

func TestTheDigestIsThatOfTheBag(t *testing.T) {
	whole := digestOf(record(t, twoTexts, `[{"a":"1","b":"x"},{"a":"2","b":"y"},{"a":"2","b":"y"}]`))
	for name, same := range map[string]digest{
		"in another order": digestOf(record(t, twoTexts, `[{"a":"2","b":"y"},{"a":"1","b":"x"},{"a":"2","b":"y"}]`)),
		"in batches": digestOf(
			record(t, twoTexts, `[{"a":"2","b":"y"}]`), record(t, twoTexts, `[{"a":"2","b":"y"},{"a":"1","b":"x"}]`)),
	} {
		if same != whole {
			t.Errorf("%s: %s, want %s", name, same, whole)
		}
	}
	for name, other := range map[string]digest{
		"a row less":          digestOf(record(t, twoTexts, `[{"a":"1","b":"x"},{"a":"2","b":"y"}]`)),
		"another row doubled": digestOf(record(t, twoTexts, `[{"a":"1","b":"x"},{"a":"1","b":"x"},{"a":"2","b":"y"}]`)),
		"another value":       digestOf(record(t, twoTexts, `[{"a":"1","b":"x"},{"a":"2","b":"y"},{"a":"2","b":"z"}]`)),
		"values the other way": digestOf(
			record(t, twoTexts, `[{"a":"x","b":"1"},{"a":"2","b":"y"},{"a":"2","b":"y"}]`)),
	} {
		if other == whole {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestRowsThatLookAlikeDiffer(t *testing.T) {
	seen := map[uint64]string{}
	for _, json := range []string{
		`[{"a":null,"b":"x"}]`, `[{"a":"(null)","b":"x"}]`, `[{"a":"","b":"x"}]`, `[{"a":"x","b":null}]`,
		`[{"a":"xy","b":"z"}]`, `[{"a":"x","b":"yz"}]`, `[{"a":"1:x","b":""}]`,
	} {
		d := digestOf(record(t, twoTexts, json))
		if other, ok := seen[d.Sum]; ok {
			t.Errorf("%s and %s have one digest", json, other)
		}
		seen[d.Sum] = json
	}
}

func TestNamesAndTypesCount(t *testing.T) {
	long := digestOf(record(t, []arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, `[{"n":1}]`))
	for name, f := range map[string]arrow.Field{
		"another type": {Name: "n", Type: arrow.PrimitiveTypes.Int32},
		"another name": {Name: "m", Type: arrow.PrimitiveTypes.Int64},
	} {
		if digestOf(record(t, []arrow.Field{f}, `[{"`+f.Name+`":1}]`)) == long {
			t.Errorf("%s: the same digest", name)
		}
	}
}

func TestFloatsCountToTwelveDigits(t *testing.T) {
	of := func(v float64) digest {
		b := array.NewFloat64Builder(memory.DefaultAllocator)
		defer b.Release()
		b.Append(v)
		a := b.NewArray()
		defer a.Release()
		rec := array.NewRecordBatch(arrow.NewSchema([]arrow.Field{{Name: "f", Type: arrow.PrimitiveTypes.Float64}}, nil), []arrow.Array{a}, 1)
		defer rec.Release()
		return digestOf(rec)
	}
	if of(0.1+0.2) != of(0.3) {
		t.Error("0.1+0.2 and 0.3 differ")
	}
	if of(math.Nextafter(17, 18)) != of(17) {
		t.Error("a last bit counts")
	}
	if of(1.0000000001) == of(1) {
		t.Error("the eleventh digit does not count")
	}
	if nan := of(math.NaN()); nan != of(math.Copysign(math.NaN(), -1)) || nan == of(0) {
		t.Error("NaN is not itself, or zero")
	}
}

func TestDigestOfAStream(t *testing.T) {
	rec := record(t, twoTexts, `[{"a":"1","b":"x"},{"a":"2","b":null}]`)
	var stream bytes.Buffer
	w := ipc.NewWriter(&stream, ipc.WithSchema(rec.Schema()))
	for range 2 {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := digestStream(stream.Bytes())
	if want := digestOf(rec, rec); err != nil || got != want {
		t.Errorf("%s, %v; want %s", got, err, want)
	}
	if _, err := digestStream(stream.Bytes()[:stream.Len()/2]); err == nil {
		t.Error("half a stream is no error")
	}
	if _, err := digestStream([]byte("not Arrow at all")); err == nil {
		t.Error("something else is no error")
	}
}
