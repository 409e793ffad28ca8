package job

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/apache/arrow-go/v18/parquet/file"
	parquetschema "github.com/apache/arrow-go/v18/parquet/schema"

	"tarn/internal/fileid"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// Field ids of Iceberg's position delete files.
const (
	deletePathID = 2147483546
	deletePosID  = 2147483545
)

// base is the base files that a job reads, by their positions in the spec.
type base struct {
	files []lake.BaseFile
	links []string
	gone  int64 // rows taken away by position deletes
	rows  int64 // that are live
	named bool  // all files are of one Parquet schema, with the names of the dataset's
}

// openBase checks the identity of base files, counts their rows and reads
// their position deletes into the table gone (f: position in files, pos).
func (s *session) openBase(ctx context.Context, files []lake.BaseFile, schema lake.Schema) (*base, error) {
	b := &base{files: files, named: !hidesPlaces(schema)}
	var first *parquetschema.Schema
	if err := s.checkIdentities(files); err != nil {
		return nil, err
	}
	for _, f := range files {
		link, err := s.link(f.Path, f.Key, ".parquet")
		if err != nil {
			return nil, damagedOr(f.Key, err)
		}
		n, columns, err := readFooter(f)
		if err != nil {
			return nil, err
		}
		b.rows += n
		first = cmp.Or(first, columns)
		b.named = b.named && named(columns, schema) && columns.Equals(first)
		b.links = append(b.links, link)
	}
	if err := s.c.Exec(ctx, "CREATE TABLE gone (f BIGINT, pos BIGINT)"); err != nil {
		return nil, err
	}
	for i, f := range files {
		if err := s.readDeletes(ctx, i, f); err != nil {
			return nil, err
		}
	}
	n, err := s.count(ctx, "SELECT count(*) FROM gone")
	if err != nil {
		return nil, err
	}
	b.gone = n[0]
	b.rows -= b.gone
	return b, nil
}

// readDeletes adds the positions that are deleted in a base file. A delete file
// may be of several data files; it names them by URI, of which the key is the
// end whatever the lake's root was.
func (s *session) readDeletes(ctx context.Context, i int, f lake.BaseFile) error {
	if len(f.Deletes) == 0 {
		return nil
	}
	var links []string
	for _, d := range f.Deletes {
		link, err := s.link(d.Path, d.Key, ".parquet")
		if err != nil {
			return damagedOr(d.Key, err)
		}
		links = append(links, link)
	}
	return s.c.Exec(ctx, fmt.Sprintf("INSERT INTO gone SELECT DISTINCT %d, pos FROM %s WHERE ends_with(path, %s)",
		i, readDeletesByID(links), lake.QuoteString("/"+f.Key)))
}

// checkIdentities makes sure that base files are still those that were verified.
func (s *session) checkIdentities(files []lake.BaseFile) error {
	for _, f := range files {
		if f.Identity == "" {
			continue
		}
		id, err := fileid.Of(f.Path)
		if err != nil {
			return damagedOr(f.Key, openError(f.Key, err))
		}
		if id != f.Identity {
			return lake.Errorf(lake.CodeDamaged, "base file %s has changed since it was verified", f.Key).
				WithHint("run tarn verify")
		}
	}
	return nil
}

// damagedOr makes a durable file that is missing damage.
func damagedOr(key string, err error) error {
	if lake.CodeOf(err) == lake.CodeNotFound {
		return lake.Errorf(lake.CodeDamaged, "%s is missing", key).WithHint("run tarn verify")
	}
	return err
}

// readFooter gives a base file's rows and columns. It refuses a file without field
// ids: read by id it would be all null.
func readFooter(f lake.BaseFile) (int64, *parquetschema.Schema, error) {
	r, err := file.OpenParquetFile(f.Path, false)
	if err != nil {
		return 0, nil, lake.Errorf(lake.CodeDamaged, "base file %s: footer: %w", f.Key, err)
	}
	defer r.Close()
	columns := r.MetaData().Schema
	for i := range columns.Root().NumFields() {
		if columns.Root().Field(i).FieldID() < 0 {
			return 0, nil, lake.Errorf(lake.CodeUnsupported, "base file %s has no field ids", f.Key)
		}
	}
	return r.NumRows(), columns, nil
}

// named says whether a file's columns are those of the dataset by id and by name,
// with nothing nested.
func named(columns *parquetschema.Schema, schema lake.Schema) bool {
	if columns.Root().NumFields() != len(schema.Columns) {
		return false
	}
	ids := map[string]int{}
	for i := range columns.Root().NumFields() {
		f := columns.Root().Field(i)
		ids[f.Name()] = int(f.FieldID())
	}
	return !slices.ContainsFunc(schema.Columns, func(c lake.Column) bool { return ids[c.Name] != c.ID || c.Type.Nested() })
}

// read reads files of the base.
func (b *base) read(links []string, fs []field) string {
	if b.named {
		return readByName(links, fs)
	}
	return readByID(links, fs)
}

// rowsSQL is the live rows of some of the base files: the fields and, where
// placed, r: the file's position and the row's, in order of arrival.
func (b *base) rowsSQL(which []int, fs []field, placed bool) string {
	var whole []int
	var parts []string
	names := fieldNames(fs)
	for _, i := range which {
		if len(b.files[i].Deletes) == 0 {
			whole = append(whole, i)
			continue
		}
		r := ""
		if placed {
			r = fmt.Sprintf(", %d + d.file_row_number AS r", int64(i)<<rowBits)
		}
		parts = append(parts, fmt.Sprintf("SELECT %s%s FROM %s d ANTI JOIN (SELECT pos FROM gone WHERE f = %d) g ON d.file_row_number = g.pos",
			list(each(names, "d.%[1]s")), r, b.read(b.links[i:i+1], fs), i))
	}
	if len(whole) > 0 {
		links, places := make([]string, len(whole)), make([]string, len(whole))
		for n, i := range whole {
			links[n], places[n] = b.links[i], fmt.Sprint(int64(i)<<rowBits)
		}
		r := ""
		if placed {
			r = fmt.Sprintf(", ([%s])[file_index::BIGINT + 1] + file_row_number AS r", list(places))
		}
		parts = append(parts, fmt.Sprintf("SELECT %s%s FROM %s", list(names), r, b.read(links, fs)))
	}
	if len(parts) == 0 {
		return nothing(fs, placed)
	}
	return strings.Join(parts, " UNION ALL ")
}

// inOrderSQL is the live rows of all base files in order of arrival. Where files
// have position deletes rowsSQL unites several relations, in no order.
func (b *base) inOrderSQL(fs []field) string {
	for _, f := range b.files {
		if len(f.Deletes) > 0 {
			return fmt.Sprintf("SELECT %s FROM (%s) ORDER BY r", list(fieldNames(fs)), b.rowsSQL(b.all(), fs, true))
		}
	}
	return b.rowsSQL(b.all(), fs, false)
}

func fieldNames(fs []field) []string {
	out := make([]string, len(fs))
	for i, f := range fs {
		out[i] = f.name
	}
	return out
}

// nothing is a relation of the fields without rows.
func nothing(fs []field, placed bool) string {
	parts := make([]string, len(fs))
	for i, f := range fs {
		parts[i] = fmt.Sprintf("NULL::%s AS %s", f.sql, f.name)
	}
	if placed {
		parts = append(parts, "NULL::BIGINT AS r")
	}
	return "SELECT " + list(parts) + " WHERE false"
}

// deltas is the deltas that a job reads.
type deltas struct {
	links []string
	rows  int64 // change rows
}

// openDeltas verifies every delta whole.
func (s *session) openDeltas(ctx context.Context, ds []lake.Delta) (*deltas, error) {
	out := &deltas{}
	for i, d := range ds {
		s.report(Progress{Step: "verify deltas", Done: int64(i), Total: int64(len(ds))})
		if err := ctx.Err(); err != nil {
			return nil, lake.Step("verify deltas", err)
		}
		if d.Void {
			continue
		}
		n, err := verifyDelta(d)
		if err != nil {
			return nil, err
		}
		link, err := s.link(d.Path, d.Key, ".parquet")
		if err != nil {
			return nil, damagedOr(d.Key, err)
		}
		if n == 0 {
			continue // an empty delta only takes a sequence number
		}
		out.rows += n
		out.links = append(out.links, link)
	}
	return out, nil
}

func verifyDelta(d lake.Delta) (int64, error) {
	f, err := os.Open(d.Path)
	if err != nil {
		return 0, damagedOr(d.Key, openError(d.Key, err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return 0, diskError("read "+d.Key, err)
	}
	h, err := format.ReadDeltaHeader(d.Key, f, info.Size())
	if err != nil {
		return 0, err
	}
	if h.Sequence != d.Sequence {
		return 0, lake.Errorf(lake.CodeDamaged, "delta %s holds sequence %d", d.Key, h.Sequence)
	}
	return h.Rows, nil
}

// rowsSQL is the change rows in order of arrival by r, with op.
func (d *deltas) rowsSQL(fs []field) string {
	fs = append(append([]field(nil), fs...), field{id: format.OpFieldID, name: "op", sql: "INTEGER"})
	if len(d.links) == 0 {
		return nothing(fs, true)
	}
	return fmt.Sprintf("SELECT %s, (file_index::BIGINT << %d) + file_row_number AS r FROM %s", list(fieldNames(fs)), rowBits, readByID(d.links, fs))
}

// linkAll links Parquet files of rows that another job wrote.
func (s *session) linkAll(paths []string) ([]string, error) {
	out := make([]string, len(paths))
	for i, p := range paths {
		var err error
		if out[i], err = s.link(p, p, ".parquet"); err != nil {
			return nil, err
		}
	}
	return out, nil
}
