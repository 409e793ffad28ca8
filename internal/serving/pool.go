package serving

import (
	"context"
	"errors"
	"sync"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// sound says whether a session can be used again after an error: not where its
// connection may have been left within a statement.
func sound(err error) bool {
	code := lake.CodeOf(err)
	return code != lake.CodeOutOfMemory && code != lake.CodeInternal
}

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

// session is a connection with its gate and the statements of a reading, which
// are kept prepared: to plan them took a quarter of a point read.
type session struct {
	conn     *duck.Conn
	gate     *duck.Gate
	begin    *duck.Statement
	rollback *duck.Statement
	stands   map[string]*duck.Statement // by the condition for table_uuid
	// stuck says that a transaction did not end: where memory is short, DuckDB fails
	// also in rolling back, and every later statement of the connection with it.
	stuck bool
}

// mostStands is how many sets of datasets a session keeps a statement for.
const mostStands = 64

func newSession(ctx context.Context, db *duck.DB) (s *session, err error) {
	s = &session{stands: map[string]*duck.Statement{}}
	if s.conn, err = connect(ctx, db); err != nil {
		return nil, err
	}
	s.gate = duck.NewGate(s.conn)
	if s.begin, err = s.conn.Prepare(ctx, "BEGIN TRANSACTION READ ONLY"); err == nil {
		s.rollback, err = s.conn.Prepare(ctx, "ROLLBACK")
	}
	if err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

// standing reads where datasets stand, by a condition for table_uuid.
func (s *session) standing(ctx context.Context, where string) ([][]any, error) {
	st := s.stands[where]
	if st == nil {
		if len(s.stands) >= mostStands {
			for _, old := range s.stands {
				old.Close()
			}
			clear(s.stands)
		}
		var err error
		st, err = s.conn.Prepare(ctx, "SELECT table_uuid, namespace, name, sequence, snapshot, hot, files FROM "+internal("datasets")+" WHERE "+where)
		if err != nil {
			return nil, err
		}
		s.stands[where] = st
	}
	return st.Rows(ctx)
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
	s, err := newSession(ctx, p.db)
	if err != nil {
		<-p.places
	}
	return s, err
}

// put gives a session back; one that is not sound is closed.
func (p *pool) put(s *session, sound bool) {
	if sound && !s.stuck {
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
