package engine

import (
	"context"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// readOnlyStore is a lake that another process writes: nothing is created or deleted
// in it, whatever asks for it.
type readOnlyStore struct{ store.Store }

func (readOnlyStore) Create(_ context.Context, key string, _ []byte) error { return notWritten(key) }
func (readOnlyStore) CreateFrom(_ context.Context, key, _ string) error    { return notWritten(key) }
func (readOnlyStore) Delete(_ context.Context, key string) error           { return notWritten(key) }

func notWritten(key string) error {
	return lake.Errorf(lake.CodeReadOnly, "%s: the lake is open to be read only", key)
}

// writable is nil where the lake may be changed.
func (e *Engine) writable() error {
	if e.follower == nil {
		return nil
	}
	return lake.Errorf(lake.CodeReadOnly, "this server follows the lake and does not change it").
		WithHint("send changes, imports, compactions and backups to the server that writes the lake")
}
