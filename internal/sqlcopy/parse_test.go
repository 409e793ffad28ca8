package sqlcopy_test

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/sqlcopy"
)

func TestStatements(t *testing.T) {
	for sql, want := range map[string]string{
		"copy t from 'a.csv'": "t < a.csv ",
		"COPY Sales.T FROM 'it''s.parquet' (FORMAT Parquet);":              "Sales.T < it's.parquet parquet",
		"copy t from '/tmp/a' with (format 'ndjson', header)":              "t < /tmp/a ndjson",
		"copy t to 'a.csv' (header true)":                                  `SELECT * FROM "t" > a.csv `,
		"copy a.\"B c\" (x, \"Y z\") to 'a.json'":                          `SELECT "x", "Y z" FROM "a"."B c" > a.json `,
		"copy (select ')' as a, (1) from t where b = ?) to 'o.arrow' -- x": `select ')' as a, (1) from t where b = ? > o.arrow `,
	} {
		s, err := sqlcopy.Parse(sql)
		if err != nil || s == nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		got := fmt.Sprintf("%s > %s %s", s.Query, s.File, s.Format)
		if s.Query == "" {
			got = fmt.Sprintf("%s < %s %s", s.Into, s.File, s.Format)
		}
		if got != want {
			t.Errorf("%s\ngot  %s\nwant %s", sql, got, want)
		}
	}
}

func TestRefusals(t *testing.T) {
	for _, sql := range []string{"select 1", "", "copying", "\"copy\" t"} {
		if s, err := sqlcopy.Parse(sql); s != nil || err != nil {
			t.Errorf("%q: %v, %v", sql, s, err)
		}
	}
	for sql, want := range map[string]struct {
		code lake.Code
		says string
	}{
		"copy":                                {lake.CodeSQLInvalid, "a name was expected before the end"},
		"copy t":                              {lake.CodeSQLInvalid, "FROM or TO"},
		"copy t from":                         {lake.CodeSQLInvalid, "a file in single quotes"},
		"copy t from a":                       {lake.CodeSQLInvalid, "a file in single quotes"},
		"copy t from \"a.csv\"":               {lake.CodeSQLInvalid, "a file in single quotes"},
		"copy t from ''":                      {lake.CodeSQLInvalid, "empty"},
		"copy t from stdin":                   {lake.CodeUnsupported, "STDIN"},
		"copy t (a) from 'a.csv'":             {lake.CodeUnsupported, "list of columns"},
		"copy (select 1) from 'a.csv'":        {lake.CodeSQLInvalid, "TO was expected"},
		"copy () to 'a.csv'":                  {lake.CodeSQLInvalid, "empty"},
		"copy t from 'a.csv' (delimiter ';')": {lake.CodeUnsupported, "DELIMITER"},
		"copy t from 'a.csv' (header false)":  {lake.CodeUnsupported, "without a header"},
		"copy t from 'a.xlsx' (format xlsx)":  {lake.CodeUnsupported, "format xlsx"},
		"copy t to 'a.csv'; select 1":         {lake.CodeSQLInvalid, "the end of the statement"},
		"copy t to 'a.csv":                    {lake.CodeSQLInvalid, "does not end"},
		"copy \"a b\" from 'a.csv'":           {lake.CodeInvalidRequest, "a b"},
	} {
		s, err := sqlcopy.Parse(sql)
		if err == nil || lake.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %v, %v; want %s: %s", sql, s, err, want.code, want.says)
		}
	}
}
