package sqlddl_test

import (
	"fmt"
	"strings"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/sqlddl"
	"tarn/internal/sqltext"
)

// shown is a statement in one line.
func shown(s *sqlddl.Statement) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s", s.Verb, s.Target)
	if s.IfNotExists {
		b.WriteString(" unless there")
	}
	if s.IfExists {
		b.WriteString(" where there")
	}
	for _, c := range s.Columns {
		fmt.Fprintf(&b, " [%s", c.Name)
		if s.Query == "" {
			fmt.Fprintf(&b, " %s", c.Type)
		}
		if !c.Nullable {
			b.WriteString(" not null")
		}
		b.WriteString("]")
	}
	if s.Key != nil {
		fmt.Fprintf(&b, " key%v", s.Key)
	}
	if s.Query != "" {
		fmt.Fprintf(&b, " as{%s}", s.Query)
	}
	return b.String()
}

func TestStatements(t *testing.T) {
	for sql, want := range map[string]string{
		"create table t (id bigint)": "create t [id BIGINT]",
		"CREATE TABLE IF NOT EXISTS Sales.T (id BIGINT PRIMARY KEY, n INT NOT NULL);;":      "create Sales.T unless there [id BIGINT not null] [n INTEGER not null] key[id]",
		"create table t(a int null, b text, primary key (b, \"a\"))":                        "create t [a INTEGER] [b VARCHAR] key[b a]",
		"create table t (a int, constraint pk primary key (a))":                             "create t [a INTEGER] key[a]",
		"create table t (\"a b\" decimal ( 10 , 2 ) not null /* , */, c varchar(20)[][])":   "create t [a b DECIMAL(10,2) not null] [c VARCHAR[][]]",
		"create table t (s struct(a int, \"B c\" map(varchar, double[])) not null, d date)": "create t [s STRUCT(a INTEGER, \"B c\" MAP(VARCHAR, DOUBLE[])) not null] [d DATE]",
		"create table t (made_at timestamp with time zone, b double precision, h hugeint)":  "create t [made_at TIMESTAMP WITH TIME ZONE] [b DOUBLE] [h DECIMAL(38,0)]",
		"create table t (date date, time time, \"primary\" uuid)":                           "create t [date DATE] [time TIME] [primary UUID]",
		"create table t as select 1 as a -- c":                                              "create t as{select 1 as a}",
		"create table t as (select 1 as a);":                                                "create t as{(select 1 as a)}",
		"create table if not exists t as from u":                                            "create t unless there as{from u}",
		"create table t (primary key (id)) as select id, ';' as b from u":                   "create t key[id] as{select id, ';' as b from u}",
		"create table t (id primary key, b) as values (1, 2)":                               "create t [id] [b] key[id] as{values (1, 2)}",
		"create table t as with u as (select 1 as a) select * from u where a = ?":           "create t as{with u as (select 1 as a) select * from u where a = ?}",
		"drop table t": "drop t",
		"DROP TABLE IF EXISTS \"a\".\"b\" cascade;": "drop a.b where there",
		"/* create */ drop table t -- create table": "drop t",
	} {
		s, err := sqlddl.Parse(sql)
		if err != nil || s == nil {
			t.Errorf("%s: %v", sql, err)
			continue
		}
		if got := shown(s); got != want {
			t.Errorf("%s\ngot  %s\nwant %s", sql, got, want)
		}
	}
}

func TestOtherTexts(t *testing.T) {
	for _, sql := range []string{"", ";", "select 1", "explain select 1", "explain analyze select 1", "alter table t add a int", "insert into t values (1)", "-- create\nfrom t", "\"create\" table t", "createtable t", "("} {
		if s, err := sqlddl.Parse(sql); s != nil || err != nil {
			t.Errorf("%q: %v, %v", sql, s, err)
		}
	}
}

func TestRefusals(t *testing.T) {
	for sql, want := range map[string]struct {
		code lake.Code
		says string
	}{
		"create":                            {lake.CodeSQLInvalid, "TABLE was expected before the end"},
		"create table":                      {lake.CodeSQLInvalid, "the name of a dataset was expected"},
		"create table t":                    {lake.CodeSQLInvalid, "a list of columns in parentheses"},
		"create table t ()":                 {lake.CodeSQLInvalid, "the name of a column was expected before )"},
		"create table t (primary key (id))": {lake.CodeSQLInvalid, "no column"},
		"create table t (id)":               {lake.CodeSQLInvalid, "the type of column id was expected before )"},
		"create table t (id bigint":         {lake.CodeSQLInvalid, "a ) is missing"},
		"create table t (id bigint) x":      {lake.CodeSQLInvalid, "the end of the statement was expected before x"},
		"create table t (id bigint primary key, primary key (id))": {lake.CodeSQLInvalid, "two primary keys"},
		"create table t (id nonsense)":                             {lake.CodeInvalidRequest, "column id: type \"nonsense\""},
		"create table t (id interval)":                             {lake.CodeUnsupported, "column id: type INTERVAL"},
		"create table t (id json)":                                 {lake.CodeUnsupported, "type JSON"},
		"create table t (id enum('a', 'b'))":                       {lake.CodeUnsupported, "type ENUM"},
		"create table t (id int[3])":                               {lake.CodeInvalidRequest, "fixed size"},
		"create table t (id int default 7)":                        {lake.CodeUnsupported, "DEFAULT"},
		"create table t (id int unique)":                           {lake.CodeUnsupported, "UNIQUE"},
		"create table t (id int check (id > 0))":                   {lake.CodeUnsupported, "CHECK"},
		"create table t (id int references u (id))":                {lake.CodeUnsupported, "REFERENCES"},
		"create table t (id int generated always as (1))":          {lake.CodeUnsupported, "GENERATED"},
		"create table t (id int, unique (id))":                     {lake.CodeUnsupported, "UNIQUE"},
		"create table t (id text collate nocase)":                  {lake.CodeUnsupported, "COLLATE"},
		"create table t (like u)":                                  {lake.CodeSQLRefused, "LIKE"},
		"create table t (id int) as select 1":                      {lake.CodeSQLInvalid, "a comma or a ) was expected before int"},
		"create table t as":                                        {lake.CodeSQLInvalid, "a query was expected"},
		"create table t as delete from t":                          {lake.CodeSQLInvalid, "a query was expected before delete"},
		"create table t as select 1 with no data":                  {lake.CodeSQLRefused, "WITH [NO] DATA"},
		"create table a.b.c (id int)":                              {lake.CodeSQLRefused, "at most two parts"},
		"create table \"a.b\" (id int)":                            {lake.CodeInvalidRequest, "a.b"},
		"create table \"a b\" (id int)":                            {lake.CodeInvalidRequest, "a b"},
		"create table temp.t (id int)":                             {lake.CodeInvalidRequest, "reserved"},
		"create table select (id int)":                             {lake.CodeSQLInvalid, "the name of a dataset"},
		"create or replace table t (id int)":                       {lake.CodeSQLRefused, "OR REPLACE"},
		"create temp table t (id int)":                             {lake.CodeSQLRefused, "TEMP TABLE"},
		"create schema s":                                          {lake.CodeSQLRefused, "CREATE SCHEMA"},
		"create view v as select 1":                                {lake.CodeSQLRefused, "CREATE VIEW"},
		"create index i on t (id)":                                 {lake.CodeSQLRefused, "CREATE INDEX"},
		"create sequence s":                                        {lake.CodeSQLRefused, "CREATE SEQUENCE"},
		"create macro m(a) as a":                                   {lake.CodeSQLRefused, "CREATE MACRO"},
		"create table t (id int); drop table t":                    {lake.CodeSQLRefused, "more than one statement"},
		"create table t as select 'x":                              {lake.CodeSQLInvalid, "does not end"},
		"explain create table t (id int)":                          {lake.CodeSQLRefused, "EXPLAIN"},
		"explain analyze drop table t":                             {lake.CodeSQLRefused, "EXPLAIN"},
		"drop t":                                                   {lake.CodeSQLInvalid, "TABLE was expected"},
		"drop view v":                                              {lake.CodeSQLRefused, "DROP VIEW"},
		"drop schema s cascade":                                    {lake.CodeSQLRefused, "DROP SCHEMA"},
		"drop table t, u":                                          {lake.CodeSQLRefused, "several datasets"},
		"drop table if not exists t":                               {lake.CodeSQLInvalid, ""},
		"drop table t x":                                           {lake.CodeSQLInvalid, "the end"},
	} {
		s, err := sqlddl.Parse(sql)
		if err == nil || lake.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %v, %v (%s); want %s: %s", sql, s, err, lake.CodeOf(err), want.code, want.says)
		}
	}
}

func TestSchemasAreChecked(t *testing.T) {
	for sql, says := range map[string]string{
		"create table t (a int, A text)":                   "twice",
		"create table t (a int, primary key (b))":          "not a column",
		"create table t (a double primary key)":            "cannot be part",
		"create table t (_tarn_a int)":                     "reserved",
		"create table t (a int, b int, primary key (B,a))": "",
	} {
		s, err := sqlddl.Parse(sql)
		if err != nil {
			t.Fatal(err)
		}
		schema, err := s.Schema()
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", sql, err)
		}
		if err == nil && (schema.Key[0] != "b" || schema.Columns[0].Nullable || schema.Columns[1].Nullable || s.Key[0] != "B") {
			t.Errorf("%s: %+v", sql, schema)
		}
	}
}

// FuzzParse: it never panics, and the query of a CREATE TABLE AS is whole: its brackets,
// strings and comments end within it, and it holds no other statement.
func FuzzParse(f *testing.F) {
	for _, sql := range []string{"create table if not exists a.b (id int not null, \"c d\" struct(e decimal(3,1)[]), primary key (id))", "create table t (x, primary key (x)) as select ';' /* ; */ from u -- ;", "drop table if exists t;", "create table t as ((((", "create table t (a b c d"} {
		f.Add(sql)
	}
	f.Fuzz(func(t *testing.T, sql string) {
		s, err := sqlddl.Parse(sql)
		if err != nil && lake.CodeOf(err) == lake.CodeInternal {
			t.Errorf("%q: %v", sql, err)
		}
		if err != nil || s == nil || s.Query == "" {
			return
		}
		toks, err := sqltext.Tokens(s.Query)
		if err != nil {
			t.Errorf("%q: %v", sql, err)
		}
		for _, tok := range toks {
			if tok.Is(";") {
				t.Errorf("%q: two statements", sql)
			}
		}
	})
}
