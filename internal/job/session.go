package job

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// session is a job at work: its DuckDB with a database in scratch, on one
// connection, and the links by which it reads files.
type session struct {
	spec   Spec
	report func(Progress)
	pacer  *pacer
	db     *duck.DB
	c      *duck.Conn
	links  int
	// done is the bytes of the data files that are written, expected about those
	// of all (0: not known), for progress alone.
	done, expected int64
	sizes          sizes
	names          map[string]string // name of a link → what messages call the file
}

func openSession(ctx context.Context, spec Spec, host Host) (*session, error) {
	s := &session{spec: spec, report: host.Report, names: map[string]string{}}
	for _, dir := range []string{"in", "tmp", "out"} {
		if err := os.MkdirAll(filepath.Join(spec.Scratch, dir), 0o700); err != nil {
			return nil, diskError("make the scratch folder", err)
		}
	}
	var err error
	s.db, err = duck.Open(ctx, duck.Options{
		Path:             filepath.Join(spec.Scratch, "job.duckdb"),
		Scratch:          filepath.Join(spec.Scratch, "tmp"),
		MemoryLimitBytes: spec.MemoryLimitBytes,
		Threads:          spec.Threads,
		AllowedDirs:      append([]string{spec.Scratch}, spec.LakeDirs...),
		PlainJoins:       true,
		JoinsAsWritten:   true,
	})
	if err != nil {
		return nil, err
	}
	if s.c, err = s.db.Conn(ctx); err == nil {
		// The database goes with the scratch folder: nothing of it need be kept.
		err = s.c.Exec(ctx, "PRAGMA disable_checkpoint_on_shutdown")
	}
	if err == nil && host.Threads != nil {
		s.pacer, err = startPacer(ctx, s.db, spec, host.Threads)
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *session) close() {
	if s.pacer != nil {
		s.pacer.stop()
	}
	if s.c != nil {
		s.c.Close()
	}
	s.db.Close()
}

// expect says that data files are to be written of about the bytes of these.
func (s *session) expect(base []lake.BaseFile, deltas []lake.Delta, paths []string) {
	for _, b := range base {
		s.expected += b.Bytes
	}
	for _, d := range deltas {
		s.expected += d.Bytes
	}
	for _, p := range paths {
		s.expected += fileBytes(p)
	}
}

// step reports the beginning of a step.
func (s *session) step(name string) { s.report(Progress{Step: name}) }

// link gives a path by which DuckDB can read a file whatever its name: a symbolic
// link in scratch whose name has no glob characters and no key=value folders.
// ext tells DuckDB of a compression (".csv.gz").
func (s *session) link(path, name, ext string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", diskError("open "+name, err)
	}
	if _, err := os.Stat(abs); err != nil {
		return "", openError(name, err)
	}
	s.links++
	base := "in" + strconv.Itoa(s.links) + ext
	link := filepath.Join(s.spec.Scratch, "in", base)
	if err := os.Symlink(abs, link); err != nil {
		return "", diskError("link "+name, err)
	}
	s.names[base] = name
	return link, nil
}

func openError(name string, err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return lake.Errorf(lake.CodeNotFound, "%s: no such file", name)
	}
	return diskError("open "+name, err)
}

func diskError(step string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return lake.Errorf(lake.CodeOutOfDisk, "%s: %w", step, err).WithHint("free some disk and try again")
	}
	return lake.Errorf(lake.CodeUnavailable, "%s: %w", step, err)
}

// count runs a query of one row of integers.
func (s *session) count(ctx context.Context, sql string) ([]int64, error) {
	rows, err := s.c.Rows(ctx, sql)
	if err != nil {
		return nil, err
	}
	if len(rows) != 1 {
		return nil, lake.Errorf(lake.CodeInternal, "%d rows where one is expected", len(rows))
	}
	out := make([]int64, len(rows[0]))
	for i, v := range rows[0] {
		n, ok := v.(int64)
		if !ok {
			return nil, lake.Errorf(lake.CodeInternal, "%T where a count is expected", v)
		}
		out[i] = n
	}
	return out, nil
}

// texts runs a query whose columns are VARCHAR; a null is "".
func (s *session) texts(ctx context.Context, sql string) ([][]string, error) {
	rows, err := s.c.Rows(ctx, sql)
	if err != nil {
		return nil, err
	}
	out := make([][]string, len(rows))
	for i, row := range rows {
		for _, v := range row {
			text, ok := v.(string)
			if !ok && v != nil {
				return nil, lake.Errorf(lake.CodeInternal, "%T where a text is expected", v)
			}
			out[i] = append(out[i], text)
		}
	}
	return out, nil
}
