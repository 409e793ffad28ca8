package storetest

import (
	"context"
	"sync"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Fault is what goes wrong with one call.
type Fault int

// The faults. Calls other than Create and CreateFrom just fail with
// lake.CodeUnavailable, whichever it is.
const (
	NoFault     Fault = iota
	Refused           // did not go in, and says so
	LostRequest       // did not go in, the outcome is unknown
	LostAnswer        // went in (or found the key taken), the outcome is unknown
	LateRequest       // the outcome is unknown, and it goes in before the next call
)

// Call is one call of a Faulty.
type Call struct {
	Number int // from 1
	Op     string
	Key    string
}

// The names of calls.
const (
	OpCreate = "create" // CreateFrom too
	OpGet    = "get"
	OpOpen   = "open"
	OpDelete = "delete"
)

// Faulty is a store over another one that fails on demand.
type Faulty struct {
	store.Store
	fault func(Call) Fault

	mu struct {
		sync.Mutex
		calls int
		late  []func()
	}
}

// NewFaulty asks fault before each create, get, open and delete.
func NewFaulty(s store.Store, fault func(Call) Fault) *Faulty {
	return &Faulty{Store: s, fault: fault}
}

// Calls is the number of calls so far.
func (f *Faulty) Calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.calls
}

func (f *Faulty) next(op, key string) Fault {
	f.mu.Lock()
	late := f.mu.late
	f.mu.late = nil
	f.mu.calls++
	call := Call{Number: f.mu.calls, Op: op, Key: key}
	f.mu.Unlock()
	for _, put := range late {
		put()
	}
	return f.fault(call)
}

func failed(code lake.Code, op, key string) error {
	return lake.Errorf(code, "%s %s: a fault was asked for", op, key)
}

// Create implements store.Store.
func (f *Faulty) Create(ctx context.Context, key string, body []byte) error {
	body = append([]byte{}, body...)
	return f.create(ctx, key, func(ctx context.Context) error { return f.Store.Create(ctx, key, body) })
}

// CreateFrom implements store.Store.
func (f *Faulty) CreateFrom(ctx context.Context, key string, path string) error {
	return f.create(ctx, key, func(ctx context.Context) error { return f.Store.CreateFrom(ctx, key, path) })
}

func (f *Faulty) create(ctx context.Context, key string, put func(context.Context) error) error {
	switch f.next(OpCreate, key) {
	case Refused:
		return failed(lake.CodeUnavailable, OpCreate, key)
	case LostRequest:
		return failed(lake.CodeUnknownOutcome, OpCreate, key)
	case LostAnswer:
		_ = put(ctx)
		return failed(lake.CodeUnknownOutcome, OpCreate, key)
	case LateRequest:
		f.mu.Lock()
		f.mu.late = append(f.mu.late, func() { _ = put(context.WithoutCancel(ctx)) })
		f.mu.Unlock()
		return failed(lake.CodeUnknownOutcome, OpCreate, key)
	}
	return put(ctx)
}

// Get implements store.Store.
func (f *Faulty) Get(ctx context.Context, key string) ([]byte, error) {
	if f.next(OpGet, key) != NoFault {
		return nil, failed(lake.CodeUnavailable, OpGet, key)
	}
	return f.Store.Get(ctx, key)
}

// Open implements store.Store.
func (f *Faulty) Open(ctx context.Context, key string) (store.Object, error) {
	if f.next(OpOpen, key) != NoFault {
		return nil, failed(lake.CodeUnavailable, OpOpen, key)
	}
	return f.Store.Open(ctx, key)
}

// Delete implements store.Store.
func (f *Faulty) Delete(ctx context.Context, key string) error {
	if f.next(OpDelete, key) != NoFault {
		return failed(lake.CodeUnavailable, OpDelete, key)
	}
	return f.Store.Delete(ctx, key)
}

var _ store.Store = (*Faulty)(nil)
