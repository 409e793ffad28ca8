package format

import (
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/schema"

	"tarn/internal/lake"
)

// FileColumn is a column of a Parquet file, at the top of its schema.
type FileColumn struct {
	Name    string
	FieldID int // -1: it has none
}

// FileColumns reads the columns of a Parquet file from its footer, and a text that is
// the same for files of the same schema alone.
func FileColumns(path string) (columns []FileColumn, form string, err error) {
	var text strings.Builder
	err = caught(func() error {
		f, err := file.OpenParquetFile(path, false)
		if err != nil {
			return err
		}
		defer f.Close()
		root := f.MetaData().Schema.Root()
		for i := range root.NumFields() {
			field := root.Field(i)
			columns = append(columns, FileColumn{Name: field.Name(), FieldID: int(field.FieldID())})
		}
		schema.PrintSchema(root, &text, 0)
		return nil
	})
	if err != nil {
		return nil, "", lake.Errorf(lake.CodeDamaged, "its footer cannot be read: %w", err)
	}
	return columns, text.String(), nil
}
