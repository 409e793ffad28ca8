package keyread

import (
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for sql, want := range map[string]*Read{
		"select * from people where id = 7":                          {Dataset: "people", Column: "id", Value: int64(7)},
		"SELECT*FROM a.People WHERE Id=-7;":                          {Namespace: "a", Dataset: "People", Column: "Id", Value: int64(-7)},
		`select * from "a b"."x""y" where "select" = ? `:             {Namespace: "a b", Dataset: `x"y`, Column: "select", Parameter: true},
		"select * /* all */ from t -- of it\nwhere k = $1 ;":         {Dataset: "t", Column: "k", Parameter: true},
		`select * from t where k = 'it''s; -- \'`:                    {Dataset: "t", Column: "k", Value: `it's; -- \`},
		"select * from t where k = ''":                               {Dataset: "t", Column: "k", Value: ""},
		"select * from t where k = 'a'''":                            {Dataset: "t", Column: "k", Value: "a'"},
		"select * from t where k = 9223372036854775807":              {Dataset: "t", Column: "k", Value: int64(9223372036854775807)},
		"select * from t where k = 9223372036854775808":              nil,
		"select * from t where k = 7.5":                              nil,
		"select * from t where k = 7e1":                              nil,
		"select * from t where k = 7_0":                              nil,
		"select * from t where k = 7 + 1":                            nil,
		"select * from t where k = - 7":                              nil,
		"select * from t where k == 7":                               nil,
		"select * from t where k = 7 and b = 1":                      nil,
		"select * from t where k = 7 limit 1":                        nil,
		"select * from t where k = 7;;":                              nil,
		"select * from t where k = 7; select 1":                      nil,
		"select * from t where k = e'a'":                             nil,
		"select * from t where k = 'a":                               nil,
		"select * from t where k = 'a' 'b'":                          nil,
		"select * from t where k = 'a' || 'b'":                       nil,
		"select * from t where k = $2":                               nil,
		"select * from t where k = $10":                              nil,
		"select * from t where k = $1a":                              nil,
		"select * from t where k = ?1":                               nil,
		"select * from t where t.k = 7":                              nil,
		"select * from t x where k = 7":                              nil,
		"select * from t, u where k = 7":                             nil,
		"select * from a.b.c where k = 7":                            nil,
		"select k from t where k = 7":                                nil,
		"select * from 't' where k = 7":                              nil,
		"select * from order where k = 7":                            nil,
		"select * from t where current_date = 7":                     nil,
		"select * from e'x' where k = 7":                             nil,
		`select * from "t where k = 7`:                               nil,
		"select * from t where k = '\x00'":                           nil,
		"explain select * from t where k = 7":                        nil,
		"select * from t where k":                                    nil,
		"select * from t where k = 7 /* open":                        nil,
		"select * from t where k =":                                  nil,
		"select * from t where k = 7" + strings.Repeat(" ", 128<<10): nil,
		"": nil,
	} {
		got, ok := Parse(sql)
		if ok != (want != nil) || ok && !reflect.DeepEqual(got, *want) {
			t.Errorf("%.80s: %+v, %v", sql, got, ok)
		}
	}
}
