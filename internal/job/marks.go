package job

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// runMarks turns the position deletes of another program's commit into delete files of
// the table's own: each of one data file, with positions that no other has, so that they
// add up; or, where they are to be whole, with all of the data file's. It goes through the
// snapshots of the commit in their order; what was dead in one has to be dead in the next.
func (s *session) runMarks(ctx context.Context, m Marks) (Result, error) {
	concerned, err := s.readTheirs(ctx, m)
	if err != nil {
		return Result{}, err
	}
	if err := s.readOurs(ctx, m, concerned); err != nil {
		return Result{}, err
	}
	res := Result{}
	if len(m.Files) == 0 {
		return res, nil
	}
	for i := range m.Files[0].Snapshots {
		if err := s.markSnapshot(ctx, m, i, concerned, &res); err != nil {
			return Result{}, err
		}
	}
	return res, nil
}

// readTheirs makes the table theirs (d: position in Theirs, f: position in Files, pos) and
// refuses what no reader could make sense of.
func (s *session) readTheirs(ctx context.Context, m Marks) (concerned []bool, err error) {
	s.step("read position deletes")
	if err := s.c.Exec(ctx, "CREATE TABLE given (d BIGINT, path VARCHAR, pos BIGINT)"); err != nil {
		return nil, err
	}
	for d, t := range m.Theirs {
		link, err := s.link(t.Path, t.Key, ".parquet")
		if err != nil {
			return nil, damagedOr(t.Key, err)
		}
		if err := s.c.Exec(ctx, fmt.Sprintf("INSERT INTO given SELECT %d, path, pos FROM %s", d, readDeletesByID([]string{link}))); err != nil {
			return nil, lake.Errorf(lake.CodeRowsInvalid, "%s: its rows cannot be read: %w", t.Key, err)
		}
		n, err := s.count(ctx, fmt.Sprintf("SELECT count(*), count(*) FILTER (path IS NULL OR pos IS NULL) FROM given WHERE d = %d", d))
		if err != nil {
			return nil, err
		}
		switch {
		case n[0] != t.Rows:
			return nil, lake.Errorf(lake.CodeRowsInvalid, "%s has %d rows, and its manifest says %d", t.Key, n[0], t.Rows)
		case n[1] > 0:
			return nil, lake.Errorf(lake.CodeRowsInvalid, "%s: %d of its rows have no file_path or no pos", t.Key, n[1])
		}
	}
	concerned, err = s.locate(ctx, m)
	if err != nil {
		return nil, err
	}
	return concerned, s.c.Exec(ctx, "CREATE TABLE theirs AS SELECT DISTINCT g.d, l.f, g.pos FROM given g JOIN located l ON g.path = l.path")
}

// readDeletesByID reads position delete files as path and pos.
func readDeletesByID(links []string) string {
	return readByID(links, []field{{id: deletePathID, name: "path", sql: "VARCHAR"}, {id: deletePosID, name: "pos", sql: "BIGINT"}})
}

// locate makes the table located (path, f), of all that the delete files name, and holds
// names and positions against the data files. It gives which data files are concerned.
func (s *session) locate(ctx context.Context, m Marks) ([]bool, error) {
	at := map[string]int{}
	concerned := make([]bool, len(m.Files))
	for i, f := range m.Files {
		at[spelled(f.Location)] = i
		for _, snap := range f.Snapshots {
			concerned[i] = concerned[i] || snap.Live && len(snap.Stays) != len(f.Before)
		}
	}
	limit := ""
	if !m.Dangling { // a data file has two spellings: with more there is one that is none
		limit = fmt.Sprintf("LIMIT %d", 2*len(m.Files)*len(m.Theirs)+1)
	}
	named, err := s.c.Rows(ctx, "SELECT path, d, min(pos), max(pos) FROM given GROUP BY path, d ORDER BY path, d "+limit)
	if err != nil {
		return nil, err
	}
	var located []string
	last := ""
	for _, row := range named {
		path, d := row[0].(string), row[1].(int64)
		f, ok := at[spelled(path)]
		if m.Dangling && (!ok || !slices.Contains(m.Files[f].Snapshots[0].Theirs, int(d))) {
			continue
		}
		if !ok {
			return nil, lake.Errorf(lake.CodeRowsInvalid, "%s names the data file %s, which is not in the table", m.Theirs[d].Key, path).
				WithHint("load the table again: it may have been rewritten")
		}
		if err := m.mayName(int(d), f); err != nil {
			return nil, err
		}
		low, high := row[2].(int64), row[3].(int64)
		if low < 0 {
			high = low
		}
		if high < 0 || high >= m.Files[f].Rows {
			return nil, lake.Errorf(lake.CodeRowsInvalid, "%s names the row %d of %s, which has %d rows", m.Theirs[d].Key, high, m.Files[f].Key, m.Files[f].Rows)
		}
		if concerned[f] = true; path != last {
			located = append(located, fmt.Sprintf("(%s, %d)", lake.QuoteString(path), f))
		}
		last = path
	}
	return concerned, s.values(ctx, "located", "path VARCHAR, f BIGINT", located)
}

// spelled is a location in one of the two ways that there are to write a local one.
func spelled(location string) string {
	if path, ok := strings.CutPrefix(location, "file:///"); ok {
		return "file:/" + path
	}
	return location
}

// mayName refuses a delete file that has rows of a data file which its manifest says that
// it does not have: some readers would take them, and others not.
func (m Marks) mayName(d, f int) error {
	for i, at := range m.Files[f].Snapshots {
		if !at.Live || !m.Theirs[d].Live[i] {
			continue
		}
		if !slices.Contains(at.Theirs, d) {
			return lake.Errorf(lake.CodeRowsInvalid, "%s has rows of %s, and by its manifest (its bounds, referenced data file or sequence number) it has none", m.Theirs[d].Key, m.Files[f].Key)
		}
	}
	return nil
}

// readOurs makes the tables ours (f, k: position in Before, pos), dead (f, pos), which is
// the state of the snapshot before, and made (f, pos), of the delete files that are written.
func (s *session) readOurs(ctx context.Context, m Marks, concerned []bool) error {
	for _, sql := range []string{
		"CREATE TABLE ours (f BIGINT, k BIGINT, pos BIGINT)", "CREATE TABLE made (f BIGINT, pos BIGINT)",
	} {
		if err := s.c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	for f, file := range m.Files {
		if !concerned[f] {
			continue
		}
		for k, d := range file.Before {
			link, err := s.link(d.Path, d.Key, ".parquet")
			if err != nil {
				return damagedOr(d.Key, err)
			}
			err = s.c.Exec(ctx, fmt.Sprintf("INSERT INTO ours SELECT DISTINCT %d, %d, pos FROM %s WHERE ends_with(path, %s)",
				f, k, readDeletesByID([]string{link}), lake.QuoteString("/"+file.Key)))
			if err != nil {
				return err
			}
		}
	}
	return s.c.Exec(ctx, "CREATE TABLE dead AS SELECT DISTINCT f, pos FROM ours")
}

// markSnapshot finds what is dead in one snapshot, and writes what no delete file that it
// keeps has.
func (s *session) markSnapshot(ctx context.Context, m Marks, i int, concerned []bool, res *Result) error {
	s.step("mark rows")
	var live, stays, theirs, anew []string // as VALUES
	for f, file := range m.Files {
		at := file.Snapshots[i]
		if !at.Live || !concerned[f] {
			continue
		}
		live = append(live, fmt.Sprintf("(%d)", f))
		if len(at.Theirs) > 0 && (i == 0 || !slices.Equal(at.Theirs, file.Snapshots[i-1].Theirs)) {
			anew = append(anew, fmt.Sprintf("(%d)", f))
		}
		for _, k := range at.Stays {
			stays = append(stays, fmt.Sprintf("(%d, %d)", f, k))
		}
		for _, d := range at.Theirs {
			theirs = append(theirs, fmt.Sprintf("(%d, %d)", f, d))
		}
	}
	err := errors.Join(s.values(ctx, "live", "f BIGINT", live), s.values(ctx, "stays", "f BIGINT, k BIGINT", stays), s.values(ctx, "named", "f BIGINT, d BIGINT", theirs), s.values(ctx, "anew", "f BIGINT", anew))
	if err != nil {
		return err
	}
	fresh := "FROM here EXCEPT FROM held"
	if m.Whole {
		fresh = "FROM here SEMI JOIN anew USING (f)"
	}
	for _, sql := range []string{
		"CREATE OR REPLACE TABLE held AS SELECT f, pos FROM ours SEMI JOIN stays USING (f, k) UNION SELECT f, pos FROM made SEMI JOIN live USING (f)",
		"CREATE OR REPLACE TABLE here AS SELECT f, pos FROM ours SEMI JOIN stays USING (f, k) UNION SELECT f, pos FROM theirs SEMI JOIN named USING (f, d)",
		"CREATE OR REPLACE TABLE fresh AS " + fresh,
	} {
		if err := s.c.Exec(ctx, sql); err != nil {
			return err
		}
	}
	lost, err := s.c.Rows(ctx, "SELECT f, pos, count(*) OVER () FROM (SELECT f, pos FROM dead SEMI JOIN live USING (f) EXCEPT FROM here) ORDER BY f, pos LIMIT 1")
	if err != nil {
		return err
	}
	if len(lost) > 0 {
		return lake.Errorf(lake.CodeUnsupported, "a commit from outside cannot bring deleted rows back: %d of them, the first the row %d of %s", lost[0][2], lost[0][1], m.Files[lost[0][0].(int64)].Key).
			WithHint("delete files are replaced by such as have all their positions; to have rows again, append them")
	}
	if err := s.writeMarks(ctx, m, i, res); err != nil {
		return err
	}
	if err := s.c.Exec(ctx, "INSERT INTO made FROM fresh"); err != nil {
		return err
	}
	return s.c.Exec(ctx, "INSERT INTO dead FROM here")
}

// values makes a table of rows in SQL.
func (s *session) values(ctx context.Context, name, columns string, rows []string) error {
	if err := s.c.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE TABLE %s (%s)", name, columns)); err != nil {
		return err
	}
	for some := range slices.Chunk(rows, 1000) {
		if err := s.c.Exec(ctx, fmt.Sprintf("INSERT INTO %s VALUES %s", name, list(some))); err != nil {
			return err
		}
	}
	return nil
}

// writeMarks writes the rows of fresh, a file for each data file.
func (s *session) writeMarks(ctx context.Context, m Marks, snapshot int, res *Result) error {
	counts, err := s.countByFile(ctx, "fresh", len(m.Files))
	if err != nil {
		return err
	}
	for f, n := range counts {
		if n == 0 {
			continue
		}
		dir, err := s.outDir(fmt.Sprintf("marks%d-%d", snapshot, f))
		if err != nil {
			return err
		}
		out, err := s.copyPositions(ctx, filepath.Join(dir, "data_0.parquet"), cmp.Or(m.Files[f].Writes, m.Files[f].Location), fmt.Sprintf("fresh WHERE f = %d", f))
		if err != nil {
			return err
		}
		if out.Rows != n {
			return lake.Errorf(lake.CodeInternal, "%d positions of %s were written where %d are dead", out.Rows, m.Files[f].Key, n)
		}
		res.Deletes = append(res.Deletes, Deletes{Base: f, Snapshot: snapshot, Output: out})
	}
	return nil
}
