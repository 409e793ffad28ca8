package rows

import (
	"context"
	"io"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/memory"

	"tarn/internal/lake"
)

// MissingPolicy says what a column that a row does not have means.
type MissingPolicy int

// The policies. The zero value is MissingError.
const (
	MissingError MissingPolicy = iota // the row is a misfit
	MissingNull                       // it is null, where the column may be
	// MissingInSome is MissingNull for a row of JSON, where another row of the
	// body has the column; else MissingError.
	MissingInSome
	// MissingKeep is for rows that change a part of what is there: columns outside the
	// key may be missing. Batches have GivenSchema then, which says which are not.
	// Parts of nested values may not be missing.
	MissingKeep
)

// nested is the policy within a value.
func (p MissingPolicy) nested() MissingPolicy {
	if p == MissingKeep {
		return MissingError
	}
	return p
}

// The defaults of DecodeOptions.
const (
	DefaultMaxRowBytes   = 16 << 20
	DefaultBatchRows     = 8192
	DefaultBatchBytes    = 8 << 20
	DefaultMaxBatchBytes = 256 << 20
	DefaultMaxErrors     = 5
)

// DecodeOptions says what a body is decoded into. Zero values take the
// defaults above.
type DecodeOptions struct {
	// Schema has the columns expected; for keys to delete or to get it is the
	// dataset's KeySchema. Batches have exactly Schema.Arrow(), but with MissingKeep.
	Schema  lake.Schema
	Missing MissingPolicy
	// AnyText lets a VARCHAR take any JSON value: what is no string as it is
	// written.
	AnyText bool
	// Comma parts the fields of CSV; 0 is a comma.
	Comma byte
	// MaxRowBytes bounds a row: the bytes of its text, or those of its values
	// in Arrow and Parquet.
	MaxRowBytes int
	// BatchRows and BatchBytes (of text) end a batch, whichever comes first.
	// Arrow batches come as the client cut them.
	BatchRows  int
	BatchBytes int
	// MaxBatchBytes bounds one buffer or message of an Arrow stream, which is
	// in memory as a whole.
	MaxBatchBytes int64
	// MaxErrors is the number of misfits that the error names.
	MaxErrors int
	// ScratchDir is where a Parquet body goes that cannot be read at random;
	// without it such a body is refused.
	ScratchDir string
	Alloc      memory.Allocator
}

func (o DecodeOptions) withDefaults() DecodeOptions {
	set := func(p *int, v int) {
		if *p <= 0 {
			*p = v
		}
	}
	set(&o.MaxRowBytes, DefaultMaxRowBytes)
	set(&o.BatchRows, DefaultBatchRows)
	set(&o.BatchBytes, DefaultBatchBytes)
	set(&o.MaxErrors, DefaultMaxErrors)
	if o.Comma == 0 {
		o.Comma = ','
	}
	if o.MaxBatchBytes <= 0 {
		o.MaxBatchBytes = DefaultMaxBatchBytes
	}
	if o.Alloc == nil {
		o.Alloc = memory.DefaultAllocator
	}
	return o
}

// source gives the batches of a body of one format. next ends with io.EOF;
// misfits go to the tally, and a source that has tallied one may give no
// batches any more but must read on to the end of the body.
type source interface {
	next() (arrow.RecordBatch, error)
	close()
}

// Decoder gives the rows of a body as batches. It is not safe for concurrent
// use. Close it in every case.
type Decoder struct {
	src   source
	tally *tally
	err   error
}

// Decode begins to decode a body. Parquet needs r to be an io.ReaderAt and
// io.Seeker (a file, a bytes.Reader), else it is copied to o.ScratchDir.
// It fails as Next does.
func Decode(ctx context.Context, f Format, r io.Reader, o DecodeOptions) (*Decoder, error) {
	o = o.withDefaults()
	d := &Decoder{tally: &tally{max: o.MaxErrors}}
	var err error
	switch f {
	case JSON:
		d.src = newJSONSource(newFeed(ctx, r), o, d.tally)
	case NDJSON:
		d.src = newNDJSONSource(newFeed(ctx, r), o, d.tally)
	case CSV:
		d.src = newCSVSource(newFeed(ctx, r), o, d.tally)
	case ArrowStream:
		d.src, err = newArrowSource(ctx, r, o, d.tally)
	case Parquet:
		d.src, err = newParquetSource(ctx, r, o, d.tally)
	default:
		err = lake.Errorf(lake.CodeUnsupportedMedia, "rows cannot be read from format %d", f)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// Next gives the next batch, which the caller releases; io.EOF after the last.
// Errors are *lake.Error: CodeInvalidRequest, CodeRowsInvalid, or the context's
// end. After an error nothing of the body may be taken, and the same error
// comes again.
func (d *Decoder) Next() (arrow.RecordBatch, error) {
	for d.err == nil {
		rec, err := d.src.next()
		switch {
		case err == io.EOF:
			if d.err = d.tally.err(); d.err == nil {
				d.err = io.EOF
			}
		case err != nil:
			d.err = err
		case rec == nil: // a batch with misfits: read on and count
		case d.tally.bad > 0: // its rows are good, but nothing will be taken
			rec.Release()
		default:
			return rec, nil
		}
	}
	return nil, d.err
}

// Rows is the number of rows read so far, misfits included.
func (d *Decoder) Rows() int64 { return d.tally.rows }

// Close lets everything go. It can be called twice.
func (d *Decoder) Close() {
	if d.src != nil {
		d.src.close()
		d.src = nil
	}
	if d.err == nil {
		d.err = io.EOF
	}
}
