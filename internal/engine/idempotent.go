package engine

import (
	"context"
	"encoding/json"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// replayed is a catalog request with an Idempotency-Key on its way. The zero
// value has no key.
type replayed struct {
	key, hash string
	leave     func()
}

// begin looks a catalog request up by its key. When it was done before, answer
// is filled in and done is true; else the caller does it, hands remember's entry
// to the catalog version that commits it, and calls end.
func (e *Engine) begin(ctx context.Context, idem Idempotency, body string, answer any) (r replayed, done bool, err error) {
	if idem.Key == "" {
		return replayed{leave: func() {}}, false, nil
	}
	key := idem.stored()
	r = replayed{key: key, hash: requestHash(idem, body)}
	if r.leave, err = e.idem.Enter(ctx, key); err != nil {
		return r, false, err
	}
	entry := e.shop.Catalog.Current().FindRequest(key)
	switch {
	case entry == nil:
		return r, false, nil
	case entry.Hash != r.hash:
		r.leave()
		return r, false, reusedKey(idem)
	}
	defer r.leave()
	if answer == nil || len(entry.Answer) == 0 {
		return r, true, nil
	}
	return r, true, json.Unmarshal(entry.Answer, answer)
}

// reusedKey is the error of a key that came with another request before.
func reusedKey(idem Idempotency) error {
	return lake.Errorf(lake.CodeIdempotencyReused, "Idempotency-Key %q came with another request before", idem.Key).
		WithHint("use a new key for a new request")
}

func (r replayed) end() { r.leave() }

// remember writes the request with its answer into the catalog version that
// commits it, and lets go of those that are too old.
func (e *Engine) remember(next *format.Version, r replayed, status int, answer any) {
	cut := e.opts.Now().Add(-e.set.IdempotencyRetention)
	kept := next.Requests[:0]
	for _, q := range next.Requests {
		if q.Time.After(cut) {
			kept = append(kept, q)
		}
	}
	next.Requests = kept
	if r.key == "" {
		return
	}
	var raw json.RawMessage
	if answer != nil {
		raw, _ = json.Marshal(answer) // of our own types, which have no unmarshallable values
	}
	next.Requests = append(next.Requests, format.RequestEntry{Key: r.key, Hash: r.hash, Time: e.opts.Now().UTC(), Status: status, Answer: raw})
}

// stored is the key as it is remembered: behind its owner, where it has one. What
// parts them is no character of a key that a client can send.
func (i Idempotency) stored() string {
	if i.Key == "" || i.Owner == "" {
		return i.Key
	}
	return lake.OwnedKey(i.Owner, i.Key)
}

// requestHash is over method, path, query and content type (idem.Scope) and the
// body, or for a long one its hash.
func requestHash(idem Idempotency, body string) string {
	return store.HashBytes([]byte(idem.Scope + "\x00" + body))
}

// sqlAsked is what an Idempotency-Key of SQL stands for.
func sqlAsked(sql string, params json.RawMessage) string { return sql + "\x00" + string(params) }
