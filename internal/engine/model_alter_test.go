package engine_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// Schema changes of the model: its rows are texts, so that a column keeps its values
// whatever its name and width, and one that comes anew is null.

// quarter has a fraction that both widths hold.
func quarter(t *rapid.T) string { return fmt.Sprintf("%d.25", rapid.IntRange(-9, 9).Draw(t, "q")) }

// poolOfColumns are few, so that names that went come again.
var poolOfColumns = []string{"id", "v", "n", "w", "xs", "k", "f", "c0"}

// kinds are types of columns that are added.
var kinds = []struct {
	sql  string
	draw func(*rapid.T) string
}{
	{"VARCHAR", word}, {"BIGINT", small}, {"INTEGER", small}, {"FLOAT", quarter}, {"DECIMAL(4,2)", amount}, {"DATE", day}, {"BIGINT[]", list},
}

// wider is what a type becomes at each step.
var wider = map[string]string{
	"INTEGER": "BIGINT", "FLOAT": "DOUBLE", "DECIMAL(4,2)": "DECIMAL(10,2)", "DECIMAL(10,2)": "DECIMAL(38,2)",
}

// clone is the model of before, for a change that may be refused.
func (m *modelled) clone() *modelled {
	out := *m
	out.shape.columns, out.shape.draw, out.shape.key = slices.Clone(m.shape.columns), slices.Clone(m.shape.draw), slices.Clone(m.shape.key)
	out.shape.strict = maps.Clone(m.shape.strict)
	if out.shape.strict == nil {
		out.shape.strict = map[string]bool{}
	}
	out.rows = make([][]string, len(m.rows))
	for i, r := range m.rows {
		out.rows[i] = slices.Clone(r)
	}
	return &out
}

func (m *modelled) typeOf(at int) string {
	_, sql, _ := strings.Cut(m.shape.columns[at], " ")
	return sql
}

// described is the columns as Describe has them.
func (m *modelled) described() string {
	out := make([]engine.Column, len(m.shape.columns))
	for i, n := range m.names() {
		out[i] = engine.Column{Name: n, Type: m.typeOf(i), Nullable: m.shape.nullable(n)}
	}
	return fmt.Sprint(out)
}

func (h *history) parseType(sql string) lake.Type {
	t, err := lake.ParseType(sql)
	h.ok(err)
	return t
}

// alter changes a schema by an operation or two, all or none.
func (h *history) alter() {
	n, m := h.pick()
	next := m.clone()
	var ops []lake.SchemaOperation
	var want lake.Code
	for range rapid.IntRange(1, 2).Draw(h.t, "operations") {
		op, code := h.operation(next)
		if ops = append(ops, op); code != "" {
			want = code
			break
		}
	}
	if want == "" && next.forbidden() {
		want = lake.CodeRowsInvalid
	}
	got, err := h.o.Alter(context.Background(), engine.AlterRequest{Dataset: name(h.o.t, n), Operations: ops})
	if want != "" {
		h.wantCode(err, want)
		return
	}
	h.ok(err)
	if text := fmt.Sprint(got.Columns); text != next.described() {
		h.fatal("%s: %v gave the columns %s and not %s", n, ops, text, next.described())
	}
	*m = *next
}

// forbidden says whether a row is null where none may be.
func (m *modelled) forbidden() bool {
	for i, n := range m.names() {
		if m.shape.strict[n] && slices.ContainsFunc(m.rows, func(r []string) bool { return r[i] == "null" }) {
			return true
		}
	}
	return false
}

// operation draws one and does it to the model; else it gives the code by which it is
// refused.
func (h *history) operation(m *modelled) (op lake.SchemaOperation, refused lake.Code) {
	at := rapid.IntRange(0, len(m.shape.columns)-1).Draw(h.t, "column")
	column := m.names()[at]
	inKey := slices.Contains(m.shape.key, column)
	op.Op = rapid.SampledFrom([]lake.SchemaOp{
		lake.OpAddColumn, lake.OpDropColumn, lake.OpRenameColumn, lake.OpSetType, lake.OpSetNotNull, lake.OpDropNotNull,
	}).Draw(h.t, "op")
	op.Name = column
	other := rapid.SampledFrom(poolOfColumns).Draw(h.t, "name")
	taken := slices.Contains(m.names(), other)
	switch op.Op {
	case lake.OpAddColumn:
		k := rapid.SampledFrom(kinds).Draw(h.t, "kind")
		op.Name, op.Type = other, h.parseType(k.sql)
		if taken {
			return op, lake.CodeInvalidRequest
		}
		m.shape.columns, m.shape.draw = append(m.shape.columns, other+" "+k.sql), append(m.shape.draw, k.draw)
		for i := range m.rows {
			m.rows[i] = append(m.rows[i], "null")
		}
	case lake.OpDropColumn:
		if inKey || len(m.shape.columns) == 1 {
			return op, lake.CodeInvalidRequest
		}
		m.shape.columns, m.shape.draw = slices.Delete(m.shape.columns, at, at+1), slices.Delete(m.shape.draw, at, at+1)
		delete(m.shape.strict, column)
		for i := range m.rows {
			m.rows[i] = slices.Delete(m.rows[i], at, at+1)
		}
	case lake.OpRenameColumn:
		op.To = other
		if taken && other != column {
			return op, lake.CodeInvalidRequest
		}
		m.shape.columns[at] = other + " " + m.typeOf(at)
		for k := range m.shape.key {
			if m.shape.key[k] == column {
				m.shape.key[k] = other
			}
		}
		if m.shape.strict[column] {
			delete(m.shape.strict, column)
			m.shape.strict[other] = true
		}
	case lake.OpSetType:
		to := wider[m.typeOf(at)]
		if to == "" {
			op.Type = h.parseType("UUID")
			return op, lake.CodeUnsupported
		}
		op.Type = h.parseType(to)
		m.shape.columns[at] = column + " " + to
	case lake.OpSetNotNull:
		if inKey {
			break
		}
		m.shape.strict[column] = true
	case lake.OpDropNotNull:
		if inKey {
			return op, lake.CodeInvalidRequest
		}
		delete(m.shape.strict, column)
	}
	return op, ""
}
