package sqlddl

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
)

// told is an Alter as one line.
func told(a *Alter) string {
	if a == nil {
		return "no ALTER"
	}
	var b strings.Builder
	b.WriteString(a.Table.String())
	if a.IfExists {
		b.WriteString(" if exists")
	}
	if a.RenameTo != nil {
		b.WriteString(" becomes " + a.RenameTo.String())
	}
	for _, op := range a.Operations {
		fmt.Fprintf(&b, "; %s %s", op.Op, op.Name)
		if op.To != "" {
			b.WriteString(" to " + op.To)
		}
		if op.Type.Kind != 0 {
			b.WriteString(" " + op.Type.SQL())
		}
		if op.Unless {
			b.WriteString(" unless")
		}
	}
	return b.String()
}

func TestParseAlter(t *testing.T) {
	for sql, want := range map[string]string{
		"SELECT 1":                               "no ALTER",
		"":                                       "no ALTER",
		"ALTER TABLE t ADD COLUMN c BIGINT":      "t; add_column c BIGINT",
		"alter table Ns.T add c decimal(10, 2);": "Ns.T; add_column c DECIMAL(10,2)",
		"ALTER TABLE IF EXISTS t ADD COLUMN IF NOT EXISTS c VARCHAR[] NULL":   "t if exists; add_column c VARCHAR[] unless",
		`ALTER TABLE "t" ADD COLUMN "a ""b"", c" STRUCT(a INT, "x,y" TEXT[])`: `t; add_column a "b", c STRUCT(a INTEGER, "x,y" VARCHAR[])`,
		"ALTER TABLE t ADD c TIMESTAMP WITH TIME ZONE NOT NULL":               "t; add_column c TIMESTAMP WITH TIME ZONE; set_not_null c",
		"ALTER TABLE t DROP COLUMN c, DROP IF EXISTS d CASCADE":               "t; drop_column c; drop_column d unless",
		"ALTER TABLE t RENAME a TO b":                                         "t; rename_column a to b",
		"ALTER TABLE t RENAME COLUMN a TO \"b c\", ADD x DATE":                "t; rename_column a to b c; add_column x DATE",
		"ALTER TABLE ns.t RENAME TO u":                                        "ns.t becomes ns.u",
		"ALTER TABLE t RENAME TO other.u":                                     "t becomes other.u",
		"ALTER TABLE t ALTER c TYPE BIGINT":                                   "t; set_type c BIGINT",
		"ALTER TABLE t ALTER COLUMN c SET DATA TYPE DOUBLE PRECISION":         "t; set_type c DOUBLE",
		"ALTER TABLE t ALTER c SET NOT NULL, ALTER COLUMN d DROP NOT NULL":    "t; set_not_null c; drop_not_null d",
		"/* a */ ALTER -- b\n TABLE t ADD c INT":                              "t; add_column c INTEGER",
	} {
		a, err := ParseAlter(sql)
		if err != nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if got := told(a); got != want {
			t.Errorf("%s:\n%s, and not\n%s", sql, got, want)
		}
	}
}

func TestParseAlterRefuses(t *testing.T) {
	for sql, want := range map[string]lake.Code{
		"ALTER":                                      lake.CodeSQLRefused,
		"ALTER VIEW v RENAME TO w":                   lake.CodeSQLRefused,
		"ALTER TABLE":                                lake.CodeSQLInvalid,
		"ALTER TABLE t":                              lake.CodeSQLInvalid,
		"ALTER TABLE t ADD":                          lake.CodeSQLInvalid,
		"ALTER TABLE t ADD c":                        lake.CodeSQLInvalid,
		"ALTER TABLE t ADD c WIBBLE":                 lake.CodeInvalidRequest,
		"ALTER TABLE t ADD c INTERVAL":               lake.CodeUnsupported,
		"ALTER TABLE t ADD c INT DEFAULT 7":          lake.CodeUnsupported,
		"ALTER TABLE t ADD c INT PRIMARY KEY":        lake.CodeUnsupported,
		"ALTER TABLE t ADD PRIMARY KEY (c)":          lake.CodeUnsupported,
		"ALTER TABLE t ALTER c SET DEFAULT 7":        lake.CodeUnsupported,
		"ALTER TABLE t ALTER c TYPE INT USING c + 1": lake.CodeUnsupported,
		"ALTER TABLE t ALTER c":                      lake.CodeSQLInvalid,
		"ALTER TABLE t RENAME a":                     lake.CodeSQLInvalid,
		"ALTER TABLE t RENAME TO u, ADD c INT":       lake.CodeSQLInvalid,
		"ALTER TABLE t DROP c d":                     lake.CodeSQLInvalid,
		"ALTER TABLE a.b.c DROP d":                   lake.CodeSQLRefused,
		"ALTER TABLE t DROP select":                  lake.CodeSQLInvalid,
		"ALTER TABLE t DROP c; DROP TABLE t":         lake.CodeSQLRefused,
		"ALTER TABLE t ADD c STRUCT(a INT":           lake.CodeSQLInvalid,
		"ALTER TABLE t ADD c INT)":                   lake.CodeSQLInvalid,
		`ALTER TABLE t ADD "c INT`:                   lake.CodeSQLInvalid,
		"ALTER TABLE 't' ADD c INT":                  lake.CodeSQLInvalid,
		"ALTER TABLE pg_catalog.t ADD c INT":         lake.CodeInvalidRequest,
	} {
		a, err := ParseAlter(sql)
		if lake.CodeOf(err) != want || err == nil {
			t.Errorf("%s: %v, %v; want %s", sql, told(a), err, want)
		}
	}
}

func FuzzParseAlter(f *testing.F) {
	for _, sql := range []string{"ALTER TABLE t ADD c INT", `ALTER TABLE "t" RENAME COLUMN "a" TO b`, "alter table a.b alter c type decimal(3,2), drop d"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		a, err := ParseAlter(sql)
		if a != nil && err != nil {
			t.Fatalf("%+v beside %v", a, err)
		}
		if a != nil && a.RenameTo == nil && len(a.Operations) == 0 {
			t.Fatal("an ALTER TABLE of nothing")
		}
	})
}
