package bench

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// scripted answers what it is told and notes when it was asked.
type scripted struct {
	name  string
	asked *[]string
	say   func(sql string) (answer, error)
}

func (s scripted) run(_ context.Context, sql string) (answer, error) {
	*s.asked = append(*s.asked, s.name)
	return s.say(sql)
}

func says(took time.Duration, sum uint64) func(string) (answer, error) {
	return func(string) (answer, error) { return answer{took, digest{Rows: 1, Sum: sum}}, nil }
}

func testBench(rounds int) *bench {
	return &bench{o: Options{Rounds: rounds}, candidates: 10, report: &Report{}}
}

func TestARaceTakesTurns(t *testing.T) {
	var asked []string
	entrants := []entrant{
		{System: readParquet, Rows: clean0, subject: scripted{"a", &asked, says(10*time.Millisecond, 1)}},
		{System: tarn, Rows: clean0, subject: scripted{"b", &asked, says(5*time.Millisecond, 1)}},
		{System: tarn, Rows: changed10, subject: scripted{"c", &asked, says(6*time.Millisecond, 2)}},
		{System: tarnByKey, Rows: clean0, subject: scripted{"d", &asked, says(time.Millisecond, 1)}, only: []string{"point"}},
	}
	b := testBench(2)
	got, err := b.race(t.Context(), Cold, query{Name: "group"}, entrants)
	if err != nil {
		t.Fatal(err)
	}
	// Two rounds warm up and two count, each beginning one further.
	if want := strings.Fields("a b c b c a c a b a b c"); !slices.Equal(asked, want) {
		t.Errorf("asked in the order %v, want %v", asked, want)
	}
	if len(got) != 3 {
		t.Fatalf("%d timings, want 3: who only runs another query does not run", len(got))
	}
	for i, want := range []struct{ median, ratio, ofClean float64 }{{10, 1, 0}, {5, 0.5, 0}, {6, 0.6, 1.2}} {
		if g := got[i]; g.Runs != 2 || g.MedianMS != want.median || g.Ratio != want.ratio || g.OfClean != want.ofClean {
			t.Errorf("%s %s: %+v, want %+v", g.System, g.Data, g, want)
		}
	}
	if b.compared != 4 {
		t.Errorf("%d answers compared, want one in each of four rounds", b.compared)
	}
}

func TestAWrongAnswerEndsTheRace(t *testing.T) {
	var asked []string
	round := 0
	lies := func(string) (answer, error) {
		if round++; round == 3 {
			return answer{time.Millisecond, digest{Rows: 1, Sum: 99}}, nil
		}
		return answer{time.Millisecond, digest{Rows: 1, Sum: 1}}, nil
	}
	_, err := testBench(5).race(t.Context(), Cold, queries[0], []entrant{
		{System: readParquet, Rows: changed1, subject: scripted{"a", &asked, says(time.Millisecond, 1)}},
		{System: tarn, Rows: changed1, subject: scripted{"b", &asked, lies}},
	})
	var wrong *WrongAnswer
	if !errors.As(err, &wrong) {
		t.Fatalf("error %v, want a wrong answer", err)
	}
	if wrong.System != tarn || wrong.Data != changed1 || wrong.Query != "join" || !strings.Contains(wrong.SQL, "changed_1.timesheets") {
		t.Errorf("%+v", wrong)
	}
	if len(asked) != 6 {
		t.Errorf("asked %d times, want three rounds of two", len(asked))
	}
}

func TestAFailedQueryEndsTheRace(t *testing.T) {
	var asked []string
	fails := func(string) (answer, error) { return answer{}, errors.New("no memory") }
	_, err := testBench(5).race(t.Context(), Cold, queries[0], []entrant{{System: tarn, Rows: clean0, subject: scripted{"a", &asked, fails}}})
	if err == nil || !strings.Contains(err.Error(), "no memory") || !strings.Contains(err.Error(), "join") {
		t.Errorf("error %v", err)
	}
}

func TestQueriesNameTheirRows(t *testing.T) {
	for _, q := range queries {
		sql := q.in("changed_10", 3, 1000)
		if strings.ContainsAny(sql, "{}") || !strings.Contains(sql, "changed_10.") {
			t.Errorf("%s: %s", q.Name, sql)
		}
	}
	seen := map[int64]bool{}
	for round := range 500 {
		key := keyOf(round, 1000)
		if key < 1 || key > 1000 {
			t.Fatalf("round %d reads the key %d of 1 to 1000", round, key)
		}
		seen[key] = true
	}
	if len(seen) < 400 {
		t.Errorf("500 rounds read %d keys", len(seen))
	}
}
