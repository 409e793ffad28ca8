package worker

import (
	"testing"

	"tarn/internal/lake"
)

// Whoever sees other datasets asks another question: that a text kills for one says
// nothing to the other.
func TestSuspectsAreKeptApart(t *testing.T) {
	p, err := lake.ParseNamePattern("orders")
	if err != nil {
		t.Fatal(err)
	}
	all := suspectOf(QueryRequest{SQL: "x"})
	some := suspectOf(QueryRequest{SQL: "x", Visible: lake.NewNameSet(p)})
	none := suspectOf(QueryRequest{SQL: "x", Visible: lake.NewNameSet()})
	if all == some || some == none || all == none {
		t.Error("two are one")
	}
	if some != suspectOf(QueryRequest{SQL: "x", Visible: lake.NewNameSet(p), Owner: "somebody"}) {
		t.Error("those who see the same ask the same")
	}
}
