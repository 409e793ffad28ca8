package lake

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func evolving(t *testing.T) Schema {
	t.Helper()
	s := Schema{Key: []string{"id", "w"}}
	for _, c := range []string{"id INTEGER", "v VARCHAR", "w DECIMAL(4,2)", "f FLOAT", "xs STRUCT(a BIGINT)[]"} {
		name, sql, _ := strings.Cut(c, " ")
		typ, err := ParseType(sql)
		if err != nil {
			t.Fatal(err)
		}
		s.Columns = append(s.Columns, Column{Name: name, Type: typ, Nullable: true})
	}
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
	return s.WithFieldIDs()
}

// shownSchema is a schema as one line: field id, name, type and NOT NULL of each column.
func shownSchema(s Schema) string {
	var parts []string
	for _, c := range s.Columns {
		text := fmt.Sprintf("%d %s %s", c.ID, c.Name, c.Type)
		if !c.Nullable {
			text += " NOT NULL"
		}
		parts = append(parts, text)
	}
	return strings.Join(parts, ", ") + " key " + strings.Join(s.Key, " ")
}

func typed(t *testing.T, sql string) Type {
	t.Helper()
	typ, err := ParseType(sql)
	if err != nil {
		t.Fatal(err)
	}
	return typ
}

func TestEvolve(t *testing.T) {
	s := evolving(t)
	before := shownSchema(s)
	got, err := s.Evolve([]SchemaOperation{
		{Op: OpDropColumn, Name: "V"},
		{Op: OpAddColumn, Name: "v", Type: typed(t, "STRUCT(a DATE, b BIGINT[])")},
		{Op: OpRenameColumn, Name: "ID", To: "Id"},
		{Op: OpRenameColumn, Name: "w", To: "weight"},
		{Op: OpSetType, Name: "id", Type: typed(t, "BIGINT")},
		{Op: OpSetType, Name: "weight", Type: typed(t, "DECIMAL(38,2)")},
		{Op: OpSetType, Name: "f", Type: typed(t, "DOUBLE")},
		{Op: OpSetNotNull, Name: "f"},
		{Op: OpAddColumn, Name: "last", Type: typed(t, "UUID")},
	}, 20)
	if err != nil {
		t.Fatal(err)
	}
	want := "1 Id BIGINT NOT NULL, 3 weight DECIMAL(38,2) NOT NULL, 4 f DOUBLE NOT NULL, 5 xs STRUCT(a BIGINT)[], 21 v STRUCT(a DATE, b BIGINT[]), 25 last UUID key Id weight"
	if shownSchema(got.Schema) != want || !got.Changed || got.LastID != 25 {
		t.Errorf("%s, last id %d\nand not %s", shownSchema(got.Schema), got.LastID, want)
	}
	if shownSchema(s) != before {
		t.Errorf("the schema of before became %s", shownSchema(s))
	}
	parts := got.Schema.Columns[4].Type.Fields
	if ids := []int{parts[0].ID, parts[1].ID, parts[1].Type.Fields[0].ID}; !slices.Equal(ids, []int{22, 23, 24}) {
		t.Errorf("the parts have the ids %v", ids)
	}
}

// TestEvolveNothing: what is so already is no change.
func TestEvolveNothing(t *testing.T) {
	s := evolving(t)
	for _, ops := range [][]SchemaOperation{
		{{Op: OpAddColumn, Name: "V", Type: typed(t, "DATE"), Unless: true}},
		{{Op: OpDropColumn, Name: "none", Unless: true}},
		{{Op: OpRenameColumn, Name: "v", To: "v"}},
		{{Op: OpRenameColumn, Name: "v", To: "x"}, {Op: OpRenameColumn, Name: "x", To: "v"}},
		{{Op: OpSetType, Name: "f", Type: typed(t, "REAL")}},
		{{Op: OpSetNotNull, Name: "id"}},
		{{Op: OpDropNotNull, Name: "v"}},
		{{Op: OpSetNotNull, Name: "v"}, {Op: OpDropNotNull, Name: "v"}},
	} {
		if got, err := s.Evolve(ops, 20); err != nil || got.Changed {
			t.Errorf("%v: %+v, %v", ops, got, err)
		}
	}
}

func TestEvolveRefuses(t *testing.T) {
	s := evolving(t)
	one := Schema{Columns: []Column{{ID: 1, Name: "a", Type: Type{Kind: Date}, Nullable: true}}}
	for _, c := range []struct {
		s    Schema
		op   SchemaOperation
		want Code
	}{
		{s, SchemaOperation{Op: OpDropColumn, Name: "id"}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpDropColumn, Name: "none"}, CodeInvalidRequest},
		{one, SchemaOperation{Op: OpDropColumn, Name: "a"}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpDropNotNull, Name: "W"}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpAddColumn, Name: "ID", Type: typed(t, "DATE")}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpAddColumn, Name: "_TARN_x", Type: typed(t, "DATE")}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpAddColumn, Name: "", Type: typed(t, "DATE")}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpAddColumn, Name: "a\nb", Type: typed(t, "DATE")}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpAddColumn, Name: "File_Index", Type: typed(t, "DATE")}, CodeUnsupported},
		{s, SchemaOperation{Op: OpRenameColumn, Name: "v", To: "W"}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpRenameColumn, Name: "v", To: "_tarn_op"}, CodeInvalidRequest},
		{s, SchemaOperation{Op: OpSetType, Name: "f", Type: typed(t, "BIGINT")}, CodeUnsupported},
		{s, SchemaOperation{Op: OpSetType, Name: "w", Type: typed(t, "DECIMAL(3,2)")}, CodeUnsupported},
		{s, SchemaOperation{Op: OpSetType, Name: "w", Type: typed(t, "DECIMAL(10,3)")}, CodeUnsupported},
		{s, SchemaOperation{Op: OpSetType, Name: "id", Type: typed(t, "DOUBLE")}, CodeUnsupported},
		{s, SchemaOperation{Op: OpSetType, Name: "xs", Type: typed(t, "STRUCT(a DOUBLE)[]")}, CodeUnsupported},
		{s, SchemaOperation{Op: "reorder", Name: "v"}, CodeInvalidRequest},
	} {
		if _, err := c.s.Evolve([]SchemaOperation{c.op}, 20); CodeOf(err) != c.want {
			t.Errorf("%+v: %v, want %s", c.op, err, c.want)
		}
	}
	if _, err := s.Evolve(nil, 20); CodeOf(err) != CodeInvalidRequest {
		t.Errorf("no operation: %v", err)
	}
}
