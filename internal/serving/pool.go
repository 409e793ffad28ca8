package serving

import (
	"context"
	"errors"
	"sync"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// pool holds the connections that queries run on, opened as they are needed and
// kept: as many as queries may run at once.
type pool struct {
	db     *duck.DB
	places chan struct{}

	mu struct {
		sync.Mutex
		idle []*session
	}
}

// session is a connection with its gate.
type session struct {
	conn *duck.Conn
	gate *duck.Gate
}

func newPool(db *duck.DB, n int) *pool {
	return &pool{db: db, places: make(chan struct{}, n)}
}

// get waits for a place and gives a session that nobody else uses.
func (p *pool) get(ctx context.Context) (*session, error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return nil, lake.Errorf(lake.CodeDeadline, "the query's time was up before a connection was free")
		}
		return nil, lake.Errorf(lake.CodeCancelled, "the query was cancelled")
	}
	p.mu.Lock()
	var s *session
	if n := len(p.mu.idle); n > 0 {
		s, p.mu.idle = p.mu.idle[n-1], p.mu.idle[:n-1]
	}
	p.mu.Unlock()
	if s != nil {
		return s, nil
	}
	conn, err := connect(ctx, p.db)
	if err != nil {
		<-p.places
		return nil, err
	}
	return &session{conn: conn, gate: duck.NewGate(conn)}, nil
}

// put gives a session back; one that is not sound is closed.
func (p *pool) put(s *session, sound bool) {
	if sound {
		p.mu.Lock()
		p.mu.idle = append(p.mu.idle, s)
		p.mu.Unlock()
	} else {
		s.conn.Close()
	}
	<-p.places
}

// close waits until every session is back and closes them.
func (p *pool) close() {
	for range cap(p.places) {
		p.places <- struct{}{}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.mu.idle {
		s.conn.Close()
	}
	p.mu.idle = nil
}
