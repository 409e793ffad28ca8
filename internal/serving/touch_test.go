package serving

import (
	"slices"
	"testing"

	"tarn/internal/lake"
)

// A tail that has not heard yet of new files, of which there are fewer, touches those
// that it knows: a delta and the publish that follows it can come in one batch.
func TestTouchBelongsToItsFiles(t *testing.T) {
	files := []lake.BaseFile{{Lower: []byte("a"), Upper: []byte("c")}, {Lower: []byte("d"), Upper: []byte("f")}}
	tl := &tail{index: newFileIndex(files), touched: newTouchedSet(len(files))}
	files[1] = lake.BaseFile{} // of the caller, who has moved on
	tl.touch([]byte("e"), []byte("e"))
	if want := []bool{false, true}; !slices.Equal(tl.touched.files, want) {
		t.Fatalf("%v are touched, want %v", tl.touched.files, want)
	}
	tl.touch([]byte("g"), []byte("z"))
	tl.touch([]byte("C"), []byte("Z"))
	if tl.touched.count != 1 {
		t.Fatalf("%v are touched by keys of no file", tl.touched.files)
	}
}
