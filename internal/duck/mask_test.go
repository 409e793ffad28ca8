//go:build duckdb_arrow

package duck

import (
	"context"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
)

// maskFixture has two Parquet files: id counts on from the first through the
// second, in several row groups.
func maskFixture(t *testing.T) (c *Conn, read string, rows []int64) {
	t.Helper()
	ctx := context.Background()
	db, err := Open(ctx, Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	if c, err = db.Conn(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	dir := t.TempDir()
	var paths []string
	from := int64(0)
	for i, n := range []int64{30_000, 5_003} {
		path := filepath.Join(dir, fmt.Sprint(i, ".parquet"))
		err := c.Exec(ctx, fmt.Sprintf("COPY (SELECT i AS id FROM range(%d, %d) t(i) ORDER BY i) TO '%s' (ROW_GROUP_SIZE 4096)", from, from+n, path))
		if err != nil {
			t.Fatal(err)
		}
		paths, rows, from = append(paths, "'"+path+"'"), append(rows, n), from+n
	}
	return c, "read_parquet([" + strings.Join(paths, ", ") + "])", rows
}

func TestRowMask(t *testing.T) {
	ctx := context.Background()
	c, read, rows := maskFixture(t)
	random := rand.New(rand.NewPCG(1, 2))
	for _, share := range []int{0, 1, 50, 100} {
		files := make([]MaskedFile, len(rows))
		var live, sum, first int64
		for i, n := range rows {
			files[i].Rows = n
			if share > 0 || i == 0 {
				files[i].Dead = make([]uint64, (n+63)/64)
			}
			for row := range n {
				if random.IntN(100) < share {
					files[i].Dead[row/64] |= 1 << (row % 64)
				} else {
					live++
					sum += first + row
				}
			}
			first += n
		}
		m, err := NewRowMask(files)
		if err != nil {
			t.Fatal(err)
		}
		got, err := c.Rows(ctx, fmt.Sprintf("SELECT count(*)::BIGINT, coalesce(sum(id), 0)::BIGINT, coalesce(sum(id) FILTER (id >= 31000), 0) > 0 FROM %s WHERE %s(%d, file_index, file_row_number)", read, LiveFunction, m.Number))
		if err != nil {
			t.Fatal(err)
		}
		if got[0][0].(int64) != live || got[0][1].(int64) != sum {
			t.Errorf("%d%% dead: %v, want %d rows, sum %d", share, got, live, sum)
		}
		m.Free()
	}
}

// TestRowMaskErrors has the function fail, never guess, where a mask does not
// cover what it is asked.
func TestRowMaskErrors(t *testing.T) {
	ctx := context.Background()
	c, read, rows := maskFixture(t)
	query := func(m *RowMask) error {
		_, err := c.Rows(ctx, fmt.Sprintf("SELECT count(*) FROM %s WHERE %s(%d, file_index, file_row_number)", read, LiveFunction, m.Number))
		return err
	}
	made := func(files ...MaskedFile) *RowMask {
		m, err := NewRowMask(files)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	whole := made(MaskedFile{Rows: rows[0]}, MaskedFile{Rows: rows[1]})
	if err := query(whole); err != nil {
		t.Fatal(err)
	}
	other := made(MaskedFile{Rows: 1})
	whole.Free()
	whole.Free()
	again := made(MaskedFile{Rows: rows[0]}, MaskedFile{Rows: rows[1]}) // in the slot of the first
	for what, m := range map[string]*RowMask{
		"a mask that is gone": whole,
		"a file too few":      other,
		"a row too few":       made(MaskedFile{Rows: rows[0]}, MaskedFile{Rows: rows[1] - 1}),
	} {
		if err := query(m); err == nil {
			t.Errorf("%s: no error", what)
		}
		m.Free()
	}
	if err := query(again); err != nil {
		t.Error(err)
	}
	again.Free()
	if _, err := NewRowMask([]MaskedFile{{Rows: 65, Dead: make([]uint64, 1)}}); err == nil {
		t.Error("a mask without words for all rows was made")
	}
}
