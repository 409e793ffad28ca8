package sqlwrite_test

import (
	"strings"
	"testing"

	"tarn/internal/lake"
	"tarn/internal/sqlwrite"
)

// Without a key a Read is over the places of rows, whose column nobody can name or get.
func TestReadsByPlace(t *testing.T) {
	plain, name := testSchema(), lake.Name{Namespace: "main", Dataset: "t"}
	plain.Key = nil
	for sql, code := range map[string]lake.Code{
		"update t set a = upper(a) where b is null":                                             "",
		"update t z set a = u.a, id = z.id + 1 from u where u.id = z.id returning *, z.*, z.id": "",
		"delete from t": "",
		"delete from t using u where t.id = u.id and (select count(*) from t) > 2 * t.id returning t.a":                                                     "",
		"delete from t where id in (select id from t) and exists (select * from u) and t.id * 2 > 3":                                                        "",
		"delete from t where exists (select 1 from u, lateral (select max(id) from t join v on true))":                                                      "",
		"merge into t using u on t.id = u.id when matched then delete when not matched then insert values (1, 'k', 'a', 2, true) returning merge_action, *": "",
		"delete from t where t::varchar = 'x'":                                lake.CodeUnsupported,
		"delete from t z where hash(z) = 1":                                   lake.CodeUnsupported,
		"delete from t where hash(T.*) = 1":                                   lake.CodeSQLInvalid,
		"delete from t where exists (select hash(T.*) from u)":                lake.CodeUnsupported,
		"delete from t where columns(*) = 1":                                  lake.CodeSQLRefused,
		"delete from t where hash(*) = 1":                                     lake.CodeUnsupported,
		"delete from t where exists (select 1 from u where u.x = \"t\")":      lake.CodeUnsupported,
		"update t set a = t::varchar":                                         lake.CodeUnsupported,
		"update t set a = 1 returning t":                                      lake.CodeUnsupported,
		"merge into t using u on u.a = t when matched then delete":            lake.CodeUnsupported,
		"merge into t using u on true when matched and t is null then delete": lake.CodeUnsupported,
		"update t set z = 1":                                                  lake.CodeSQLInvalid,
		"insert or ignore into t select 1":                                    lake.CodeNoPrimaryKey,
		"update t set a = 1, \"_tarn_place\" = 2":                             lake.CodeSQLRefused,
	} {
		s, err := sqlwrite.Parse(sql)
		r := sqlwrite.Read{}
		if err == nil {
			r, err = sqlwrite.NewRead(s, name, plain)
		}
		if (err == nil) != (code == "") || err != nil && lake.CodeOf(err) != code {
			t.Errorf("%s: %v, want %q", sql, err, code)
			continue
		}
		if err != nil {
			continue
		}
		if !r.Placed || strings.Count(r.SQL, lake.PlacedVersion) != 1 {
			t.Errorf("%s: %+v", sql, r)
		}
	}
	// A column of that name is meant before the row.
	named := lake.Schema{Columns: []lake.Column{{Name: "T", Type: lake.Type{Kind: lake.Bigint}, Nullable: true}}}
	if _, err := sqlwrite.NewRead(parse(t, "delete from t where t > 1"), name, named); err != nil {
		t.Error(err)
	}
}
