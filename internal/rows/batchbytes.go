package rows

import "github.com/apache/arrow-go/v18/arrow"

// BatchBytes is the bytes of a batch's buffers.
func BatchBytes(rec arrow.RecordBatch) int64 {
	total := int64(0)
	var add func(d arrow.ArrayData)
	add = func(d arrow.ArrayData) {
		for _, b := range d.Buffers() {
			if b != nil {
				total += int64(b.Len())
			}
		}
		for _, c := range d.Children() {
			add(c)
		}
	}
	for _, col := range rec.Columns() {
		add(col.Data())
	}
	return total
}
