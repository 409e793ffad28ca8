package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// PeerMain is a peer's process: it answers the requests on in until in ends, and
// gives the exit code. What cannot be answered is an answer too; only a broken
// pipe ends it early.
func PeerMain(ctx context.Context, in io.Reader, out, errs io.Writer) int {
	if err := servePeer(ctx, in, out); err != nil {
		fmt.Fprintf(errs, "tarn bench-peer: %v\n", err)
		return 1
	}
	return 0
}

func servePeer(ctx context.Context, in io.Reader, out io.Writer) error {
	// The end of in ends a statement that runs, as nobody waits for it any more.
	ctx, cancel := context.WithCancel(ctx)
	requests, read := make(chan peerRequest), make(chan error, 1)
	go func() {
		defer cancel()
		defer close(requests)
		read <- readRequests(ctx, in, requests)
	}()
	p := &peerProcess{}
	defer p.close()
	defer cancel()
	reply := json.NewEncoder(out)
	for r := range requests {
		a, err := p.answer(ctx, r)
		if err != nil {
			a = peerReply{Error: err.Error()}
		}
		if err := reply.Encode(a); err != nil {
			return err
		}
	}
	return <-read
}

func readRequests(ctx context.Context, in io.Reader, to chan<- peerRequest) error {
	d := json.NewDecoder(in)
	for {
		var r peerRequest
		switch err := d.Decode(&r); {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return fmt.Errorf("read a request: %w", err)
		}
		select {
		case to <- r:
		case <-ctx.Done():
			return nil
		}
	}
}

// peerProcess is DuckDB as a peer has it: no gate, no lock.
type peerProcess struct {
	mode PeerMode
	db   *duck.DB
	conn *duck.Conn
}

func (p *peerProcess) close() {
	if p.conn != nil {
		p.conn.Close()
	}
	if p.db != nil {
		p.db.Close()
	}
}

func (p *peerProcess) answer(ctx context.Context, r peerRequest) (peerReply, error) {
	if p.db == nil && r.Open == nil {
		return peerReply{}, errors.New("nothing is open")
	}
	switch {
	case r.Open != nil:
		return p.open(ctx, *r.Open)
	case r.Load != nil:
		return p.load(ctx, *r.Load)
	case r.Exec != "":
		return peerReply{}, p.conn.Exec(ctx, r.Exec)
	}
	return p.run(ctx, r.Run)
}

func (p *peerProcess) open(ctx context.Context, o peerOpen) (a peerReply, err error) {
	if p.db != nil {
		return a, errors.New("it is open already")
	}
	p.mode = o.Mode
	p.db, err = duck.Open(ctx, duck.Options{Scratch: o.Scratch, Threads: o.Threads, MemoryLimitBytes: o.MemoryBytes})
	if err != nil {
		return a, err
	}
	if p.conn, err = p.db.Conn(ctx); err != nil {
		return a, err
	}
	// A peer has DuckDB's own defaults where ours may cost it anything.
	if err := p.conn.Exec(ctx, "SET enable_external_file_cache = true"); err != nil {
		return a, err
	}
	if p.mode == PeerCompressed {
		if err := p.conn.Exec(ctx, "ATTACH ':memory:' AS compressed (COMPRESS); USE compressed"); err != nil {
			return a, err
		}
	}
	rows, err := p.conn.Rows(ctx, "SELECT version()")
	if err != nil {
		return a, err
	}
	a.Version = fmt.Sprint(rows[0][0])
	return a, nil
}

func (p *peerProcess) load(ctx context.Context, l peerLoad) (a peerReply, err error) {
	files := make([]string, len(l.Files))
	for i, f := range l.Files {
		files[i] = lake.QuoteString(f)
	}
	kind := "TABLE"
	if p.mode == PeerParquet {
		kind = "VIEW"
	}
	name := lake.Name{Namespace: l.Schema, Dataset: l.Table}.SQL()
	statements := []string{
		"CREATE SCHEMA IF NOT EXISTS " + lake.QuoteIdent(l.Schema),
		fmt.Sprintf("CREATE %s %s AS SELECT * FROM read_parquet([%s])", kind, name, strings.Join(files, ", ")),
	}
	if p.mode == PeerCompressed {
		statements = append(statements, "CHECKPOINT") // compresses
	}
	began := time.Now()
	for _, s := range statements {
		if err := p.conn.Exec(ctx, s); err != nil {
			return a, err
		}
	}
	a.ElapsedNS = time.Since(began).Nanoseconds()
	memory, err := p.db.Memory(ctx)
	if err != nil {
		return a, err
	}
	a.MemoryBytes = memory["IN_MEMORY_TABLE"] + memory["BASE_TABLE"]
	return a, nil
}

// run times a query from the call to its last batch, and sums its answer up
// after that.
func (p *peerProcess) run(ctx context.Context, sql string) (a peerReply, err error) {
	var batches []arrow.RecordBatch
	defer func() {
		for _, b := range batches {
			b.Release()
		}
	}()
	began := time.Now()
	s, err := p.conn.Query(ctx, sql, duck.Params{})
	if err != nil {
		return a, err
	}
	defer s.Close()
	for {
		b, err := s.Next(ctx)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return a, err
		}
		batches = append(batches, b)
	}
	a.ElapsedNS = time.Since(began).Nanoseconds()
	for _, b := range batches {
		a.add(b)
	}
	return a, nil
}
