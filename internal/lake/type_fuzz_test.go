package lake

import "testing"

func FuzzParseType(f *testing.F) {
	for _, s := range []string{"BIGINT", "DECIMAL(10,2)", "STRUCT(a BIGINT, \"b \"\"c\" VARCHAR[])", "MAP(VARCHAR, DATE[])[]", "STRUCT(", "DECIMAL(99,1)", "a[][][]", "TIMESTAMP WITH TIME ZONE", "\"", "MAP(", "DECIMAL(-1)", "INTEGER[3]"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		typ, err := ParseType(s)
		if err != nil {
			if c := CodeOf(err); c != CodeInvalidRequest && c != CodeUnsupported {
				t.Errorf("%q: %v", s, err)
			}
			return
		}
		again, err := ParseType(typ.SQL())
		if err != nil || !again.Equal(typ) {
			t.Errorf("%q is %s, and read again %s, %v", s, typ.SQL(), again.SQL(), err)
		}
	})
}
