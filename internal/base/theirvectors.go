package base

import (
	"os"

	"github.com/apache/iceberg-go"
	icebergio "github.com/apache/iceberg-go/io"
	"github.com/apache/iceberg-go/table/dv"

	"tarn/internal/lake"
)

// WriteVector writes a deletion vector that another program wrote as a position delete file
// at path, for the job that reads it. df is what a manifest says of it: where in its file it
// is, of which data file, and how many rows it has, which is held against the vector. That
// these are not more than the data file has is the caller's to know: a few bytes may say so.
func WriteVector(files icebergio.IO, df iceberg.DataFile, path string) error {
	bitmap, err := readVector(files, df)
	if err != nil {
		return err
	}
	f, err := os.Create(path)
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "write %s: %w", path, err)
	}
	defer f.Close()
	w, err := newPositionsWriter(f)
	if err != nil {
		return err
	}
	location := func(int) (string, error) { return *df.ReferencedDataFile(), nil }
	const batch = 8192
	some := make([]int64, 0, batch)
	for pos := range bitmap.Positions() {
		if some = append(some, int64(pos)); len(some) == batch {
			if err := w.add(some, location); err != nil {
				return err
			}
			some = some[:0]
		}
	}
	if err := w.add(some, location); err != nil {
		return err
	}
	return w.close()
}

// readVector reads one, which must hold what its manifest says.
func readVector(files icebergio.IO, df iceberg.DataFile) (*dv.RoaringPositionBitmap, error) {
	fault := func(err error) error {
		return lake.Errorf(lake.CodeRowsInvalid, "the deletion vector %s: %w", df.FilePath(), err)
	}
	// Its format may be spelled in small letters, which iceberg-go does not know.
	b, err := iceberg.NewDataFileBuilder(*iceberg.UnpartitionedSpec, df.ContentType(), df.FilePath(), iceberg.PuffinFile, nil, nil, nil, df.Count(), df.FileSizeBytes())
	if err != nil {
		return nil, fault(err)
	}
	b.ReferencedDataFile(*df.ReferencedDataFile()).ContentOffset(*df.ContentOffset()).ContentSizeInBytes(*df.ContentSizeInBytes())
	bitmap, err := soundVector(func() (*dv.RoaringPositionBitmap, error) {
		f, err := files.Open(df.FilePath())
		if err != nil {
			return nil, err
		}
		defer f.Close()
		if err := checkBitmapsAt(f, *df.ContentOffset(), *df.ContentSizeInBytes()); err != nil {
			return nil, err
		}
		return dv.ReadDV(files, b.Build())
	})
	if err != nil && (lake.CodeOf(err) == lake.CodeInternal || lake.CodeOf(err) == lake.CodeDamaged) {
		return nil, fault(err)
	}
	return bitmap, err
}
