package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// peer is plain DuckDB in a process of its own, seen from here. It answers one
// request at a time.
type peer struct {
	mode    PeerMode
	version string
	memory  int64 // of its tables, as of the last load

	in   io.WriteCloser
	out  *json.Decoder
	stop func() error
}

// startPeer starts a peer; command is the argv of `tarn bench-peer`, nil runs it
// inside this process.
func startPeer(ctx context.Context, command []string, o peerOpen) (*peer, error) {
	p := &peer{mode: o.Mode}
	if err := os.MkdirAll(o.Scratch, 0o700); err != nil {
		return nil, err
	}
	if err := p.start(ctx, command); err != nil {
		return nil, fmt.Errorf("start DuckDB: %w", err)
	}
	a, err := p.ask(peerRequest{Open: &o})
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	p.version = a.Version
	return p, nil
}

func (p *peer) start(ctx context.Context, command []string) error {
	if command == nil {
		p.startInside(ctx)
		return nil
	}
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p.in, p.out, p.stop = in, json.NewDecoder(out), cmd.Wait
	return nil
}

func (p *peer) startInside(ctx context.Context) {
	inR, inW := io.Pipe()
	outR, outW := io.Pipe()
	ctx, cancel := context.WithCancel(ctx)
	var going sync.WaitGroup
	going.Go(func() {
		err := servePeer(ctx, inR, outW)
		outW.CloseWithError(err) // nil: io.EOF
		inR.CloseWithError(err)
	})
	p.in, p.out = inW, json.NewDecoder(outR)
	p.stop = func() error {
		cancel()
		outR.Close()
		going.Wait()
		return nil
	}
}

// close ends the peer. It may be called twice.
func (p *peer) close() error {
	if p.stop == nil {
		return nil
	}
	stop := p.stop
	p.stop = nil
	return errors.Join(p.in.Close(), stop())
}

func (p *peer) ask(r peerRequest) (peerReply, error) {
	var a peerReply
	fail := func(err error) (peerReply, error) {
		return a, fmt.Errorf("DuckDB (%s): %w", p.mode, err)
	}
	if err := json.NewEncoder(p.in).Encode(r); err != nil {
		return fail(err)
	}
	if err := p.out.Decode(&a); err != nil {
		return fail(fmt.Errorf("its process ended: %w", err))
	}
	if a.Error != "" {
		return fail(errors.New(a.Error))
	}
	return a, nil
}

// load makes a table of Parquet files.
func (p *peer) load(l peerLoad) (time.Duration, error) {
	a, err := p.ask(peerRequest{Load: &l})
	if err == nil {
		p.memory = a.MemoryBytes
	}
	return time.Duration(a.ElapsedNS), err
}

func (p *peer) exec(sql string) error {
	_, err := p.ask(peerRequest{Exec: sql})
	return err
}

// run answers a query as a subject does. The end of the process, not of a
// context, ends one that takes too long: the peer's process has ctx of its start.
func (p *peer) run(_ context.Context, sql string) (answer, error) {
	a, err := p.ask(peerRequest{Run: sql})
	return answer{Took: time.Duration(a.ElapsedNS), digest: a.digest}, err
}
