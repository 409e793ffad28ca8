package cli_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"tarn/internal/client"
)

func runningNow(t *testing.T, url string) int {
	t.Helper()
	c, err := client.New(url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	all, err := c.Queries(context.WithoutCancel(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	return len(all)
}

func TestStatementsOfStandardInput(t *testing.T) {
	url, _ := served(t, filepath.Join(t.TempDir(), "lake"))
	ok(t, "create", "t", "--column", "id BIGINT", "--column", "v VARCHAR", "--primary-key", "id", "--server", url)
	script := func(text string, more ...string) outcome {
		return runWith(t.Context(), nil, text, append(append([]string{"sql"}, more...), "--server", url)...)
	}
	out := script("insert into t values (1, 'a;b'),\n(2, null); -- two\n.mode ndjson\nselect * from t order by id;\n.mode csv\nselect count(*) as n from t")
	if want := "{\"id\":1,\"v\":\"a;b\"}\n{\"id\":2,\"v\":null}\nn\n2\n"; out.code != 0 || !strings.HasPrefix(out.stdout, "t: 2 rows inserted in") || !strings.HasSuffix(out.stdout, want) {
		t.Errorf("%+v, want %q", out, want)
	}

	// The first that fails is the last that runs.
	out = script("insert into t values (3, 'c'); insert into t values (3, 'again'); insert into t values (4, 'd');")
	if out.code != 1 || !strings.Contains(out.stderr, "statement 2: ") || !strings.Contains(out.stderr, "(key_conflict)") {
		t.Errorf("%+v", out)
	}
	if out := script("", "select count(*) as n from t"); out.stdout != "n\n3\n" {
		t.Errorf("%+v", out)
	}
	for _, nothing := range []string{"", "\n-- nothing\n", ";;"} {
		if out := script(nothing); out.code != 0 || out.stdout != "" {
			t.Errorf("%q: %+v", nothing, out)
		}
	}
	if out := script("select v from t where id = ?;", "-", "--param", "1"); out.stdout != "v\na;b\n" {
		t.Errorf("%+v", out)
	}
	if out := script("select ?; select 2", "--param", "1"); out.code != 2 || !strings.Contains(out.stderr, "belong to one statement") {
		t.Errorf("%+v", out)
	}
	// A transaction is one statement, of several lines or given as the question.
	out = script("begin;\ninsert into t values (10, ';');\nupdate t set v = 'x' where id in (10, 1);\ncommit; select v from t where id = 10")
	if out.code != 0 || !strings.HasPrefix(out.stdout, "t: 1 row inserted\nt: 2 rows updated\ncommitted in ") || !strings.HasSuffix(out.stdout, "v\nx\n") {
		t.Errorf("%+v", out)
	}
	if out := script("", "begin; delete from t; rollback", "--idempotency-key", "k"); out.stdout != "t: 4 rows would be deleted\nrolled back; nothing was changed\n" {
		t.Errorf("%+v", out)
	}
	if out := script("", "begin; delete from t where id = 10; insert into t values (1, 'there'); commit", "-o", "json"); out.code != 1 || !strings.Contains(out.stderr, "statement 2, insert t: t has a row with the key id = 1") {
		t.Errorf("%+v", out)
	}
	if out := script("", "begin; delete from t where id = ?; commit", "--param", "10", "-o", "json"); out.code != 0 || !strings.HasPrefix(out.stdout, `{"statement":"transaction","rows":1,"statements":[{"statement":"delete","dataset":"t","rows":1}],"read_points":{"t":{`) {
		t.Errorf("%+v", out)
	}
	if out := script("begin; delete from t;"); out.code != 1 || !strings.Contains(out.stderr, "COMMIT is missing") {
		t.Errorf("%+v", out)
	}
	if out := script("", "begin; delete from t; commit", "--to", filepath.Join(t.TempDir(), "x.csv")); out.code != 2 {
		t.Errorf("%+v", out)
	}
	if out := script(".quit\nselect 1"); out.code != 0 || out.stdout != "" {
		t.Errorf(".quit: %+v", out)
	}
}
