//go:build !unix

package prompt

// wakeable can do nothing here: a read ends with the next key.
func (*keys) wakeable() (done func(), err error) { return func() {}, nil }

func (k *keys) wait() error { return k.ctx.Err() }
