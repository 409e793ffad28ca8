package client

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// ioBuffer is the size of a connection's buffers: answers are large.
const ioBuffer = 64 << 10

func defaultTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true, // the server sends bytes as they are
		ReadBufferSize:        ioBuffer,
		WriteBufferSize:       ioBuffer,
	}
}

// memoryURL is the base of calls that never leave the process.
const memoryURL = "http://tarn.memory"

// InMemory serves a handler over connections within the process and gives a
// client of it and a function that ends both and waits for calls that are still
// being handled. Streams, trailers, cut answers and clients that go away are as
// over TCP.
func InMemory(h http.Handler) (*http.Client, func()) {
	l := &listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	var open sync.WaitGroup // connections; they are counted before Serve goes on
	srv := &http.Server{
		Handler: h, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError),
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Done()
			}
		},
	}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = srv.Serve(l) // always http.ErrServerClosed
	}()
	t := defaultTransport()
	t.Proxy = nil
	t.DialContext = l.dial
	var once sync.Once
	return &http.Client{Transport: t}, func() {
		once.Do(func() {
			t.CloseIdleConnections()
			_ = srv.Close()
			<-served
			open.Wait()
		})
	}
}

// NewInMemory is InMemory as a Client.
func NewInMemory(h http.Handler) (*Client, func()) {
	hc, end := InMemory(h)
	return &Client{base: memoryURL, rt: hc.Transport}, end
}

// listener hands the other ends of dialled pipes to a server.
type listener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

var errListenerClosed = errors.New("the handler in memory is closed")

func (l *listener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: errListenerClosed}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "memory", Err: ctx.Err()}
	}
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *listener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "memory" }
