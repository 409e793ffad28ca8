package worker

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"

	"tarn/internal/walls"
)

// inside is a worker that runs in this process, for tests and tools: the same
// messages over the same socket, without the isolation.
type inside struct {
	cancel context.CancelFunc
	conns  *killableListener
	gone   chan struct{}
	err    error
	code   int
}

func startInside(open Open, l net.Listener, log *slog.Logger, mk makeBackend) *inside {
	ctx, cancel := context.WithCancel(context.Background())
	p := &inside{cancel: cancel, conns: &killableListener{Listener: l}, gone: make(chan struct{})}
	p.conns.mu.open = map[net.Conn]struct{}{}
	go func() {
		defer close(p.gone)
		p.code, p.err = serve(ctx, p.conns, open, log, mk, walls.Report{Lacking: []string{"all: the worker runs inside the server's process"}})
		p.conns.kill()
	}()
	return p
}

func (p *inside) pid() int                { return os.Getpid() }
func (p *inside) exited() <-chan struct{} { return p.gone }

func (p *inside) ended() (code int, signalled bool) { return p.code, p.err == nil }

func (p *inside) kill() {
	p.conns.kill()
	p.cancel()
}

func (p *inside) why() string {
	if p.err != nil {
		return p.err.Error()
	}
	return "ended"
}

// killableListener closes the connections it accepted all at once, in the
// middle of whatever they carry, as the death of a process does.
type killableListener struct {
	net.Listener
	mu struct {
		sync.Mutex
		open   map[net.Conn]struct{}
		killed bool
	}
}

func (l *killableListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.mu.killed {
		c.Close()
		return nil, net.ErrClosed
	}
	k := &killableConn{Conn: c, l: l}
	l.mu.open[k] = struct{}{}
	return k, nil
}

func (l *killableListener) kill() {
	l.Listener.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.killed = true
	for c := range l.mu.open {
		c.(*killableConn).Conn.Close()
	}
	clear(l.mu.open)
}

type killableConn struct {
	net.Conn
	l *killableListener
}

func (c *killableConn) Close() error {
	c.l.mu.Lock()
	delete(c.l.mu.open, c)
	c.l.mu.Unlock()
	return c.Conn.Close()
}
