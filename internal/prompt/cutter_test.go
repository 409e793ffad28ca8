package prompt

import (
	"slices"
	"strings"
	"testing"

	"tarn/internal/lake"
)

func TestStatementsEndAtSemicolonsThatAreNoPartOfThem(t *testing.T) {
	var c Cutter
	var got []string
	for line := range strings.SplitSeq(`select 1; select 2;
-- a comment; with a semicolon
select 'a;b', "c;d", $$e;
f$$ /* g; */ -- h;
;
;; /* nothing */ ;
select
  3
; select 4`, "\n") {
		done, err := c.Add(line)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, done...)
	}
	want := []string{"select 1", "select 2", "-- a comment; with a semicolon\nselect 'a;b', \"c;d\", $$e;\nf$$ /* g; */ -- h;", "select\n  3"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if c.Rest() != "select 4" || !c.Open() {
		t.Errorf("rest %q, open %v", c.Rest(), c.Open())
	}
	if c.Reset(); c.Rest() != "" || c.Open() {
		t.Error("Reset leaves something")
	}
}

func TestCommentsAloneAreNoStatement(t *testing.T) {
	var c Cutter
	for _, line := range []string{"-- nothing", "/* here */ ;", "  ", "-- end"} {
		if done, err := c.Add(line); err != nil || len(done) > 0 {
			t.Errorf("%q gives %q, %v", line, done, err)
		}
	}
	if c.Rest() != "" {
		t.Errorf("rest %q", c.Rest())
	}
}

func TestAStatementWithoutAnEndIsRefusedBeforeItFillsTheMemory(t *testing.T) {
	var c Cutter
	line := strings.Repeat("x", 1<<20)
	for range MaxStatementBytes >> 20 {
		if _, err := c.Add(line); err != nil {
			if lake.CodeOf(err) != lake.CodeTooLarge || c.Open() {
				t.Errorf("%v, open %v", err, c.Open())
			}
			return
		}
	}
	t.Error("it is never refused")
}

func TestATransactionIsOneStatement(t *testing.T) {
	var c Cutter
	var got []string
	for line := range strings.SplitSeq(`select 1; -- begin;
begin; insert into t values ('commit;');
/* commit; */ delete from t;
COMMIT; select 2; start transaction; delete from begin;; rollback; commit;
Begin;
end; begin;`, "\n") {
		done, err := c.Add(line)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, done...)
	}
	want := []string{
		"select 1", "-- begin;\nbegin; insert into t values ('commit;');\n/* commit; */ delete from t;\nCOMMIT", "select 2",
		"start transaction; delete from begin;; rollback", "commit", "Begin;\nend",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if c.Rest() != "begin;" || !c.Open() {
		t.Errorf("rest %q, open %v", c.Rest(), c.Open())
	}
}
