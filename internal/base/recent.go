package base

import "container/list"

// recent keeps the bytes that were used last, within a bound of bytes. It has no
// lock of its own.
type recent struct {
	limit, size int
	byKey       map[string]*list.Element // of recentEntry
	order       *list.List               // the one used last at the front
}

type recentEntry struct {
	key  string
	body []byte
}

func (r *recent) init(limit int) {
	r.limit, r.byKey, r.order = limit, map[string]*list.Element{}, list.New()
}

func (r *recent) get(key string) ([]byte, bool) {
	e, ok := r.byKey[key]
	if !ok {
		return nil, false
	}
	r.order.MoveToFront(e)
	return e.Value.(recentEntry).body, true
}

func (r *recent) add(key string, body []byte) {
	if _, ok := r.byKey[key]; ok || len(body) > r.limit/4 {
		return
	}
	r.byKey[key] = r.order.PushFront(recentEntry{key, body})
	for r.size += len(body); r.size > r.limit; {
		last := r.order.Remove(r.order.Back()).(recentEntry)
		delete(r.byKey, last.key)
		r.size -= len(last.body)
	}
}
