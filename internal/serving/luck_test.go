package serving

import (
	"fmt"
	"testing"
)

// Who looked in vain looks less and less often, and at once again after success.
func TestLuck(t *testing.T) {
	l := newLuck()
	waits := func(form string) (n int) {
		for ; !l.try(form); n++ {
		}
		return n
	}
	for _, want := range []int{0, 2, 4, 8, 16, 32, 64, 64, 64} {
		if got := waits("a"); got != want {
			t.Errorf("%d texts without a look, want %d", got, want)
		}
		l.missed("a")
	}
	if got := waits("b"); got != 0 {
		t.Errorf("another form: %d texts without a look", got)
	}
	waits("a")
	l.found("a")
	if got := waits("a"); got != 0 {
		t.Errorf("%d texts without a look after success", got)
	}
	for i := range 3 * mostForms {
		l.missed(fmt.Sprint(i))
	}
	if n := len(l.mu.forms); n > mostForms {
		t.Errorf("%d forms are noted", n)
	}
}
