package catalog

import (
	"context"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// Follow gives the catalog of a lake that another process writes. Nothing can be
// committed to it (lake.CodeReadOnly); Current is an empty version until Adopt.
func Follow(s store.Store) *Catalog {
	c := &Catalog{store: s, turn: make(chan struct{}, 1)}
	c.fenced = lake.Errorf(lake.CodeReadOnly, "the lake is open to be read only")
	c.current.Store(&format.Version{})
	return c
}

// Newest reads the newest version of a followed catalog, which is Current where
// there is none after it. lake.CodeDamaged: it is not as it was written, or the lake
// is not the one it was.
func (c *Catalog) Newest(ctx context.Context) (*format.Version, error) {
	const tries = 4
	var err error
	for range tries {
		var v *format.Version
		if v, err = c.newest(ctx); err == nil || lake.CodeOf(err) != lake.CodeNotFound {
			return v, err
		} // it was retired between listing and reading: there is a newer one
	}
	return nil, lake.Errorf(lake.CodeDamaged, "the catalog's newest version cannot be found: %w", err).
		WithHint("the lake was removed, or replaced by another: open what is there now anew")
}

func (c *Catalog) newest(ctx context.Context) (*format.Version, error) {
	current := c.Current()
	after := ""
	if current.Number > 0 {
		after = Key(current.Number)
	}
	newest := int64(0)
	for info, err := range c.store.List(ctx, prefix, after) {
		if err != nil {
			return nil, lake.Step("look for a newer catalog version", err)
		}
		if n, ok := Number(info.Key); ok {
			newest = n
		}
	}
	switch {
	case newest > 0:
		v, err := c.Read(ctx, newest)
		if err != nil {
			return nil, err
		}
		if current.Number > 0 {
			if err := Follows(*current, v); err != nil {
				return nil, err
			}
		}
		return &v, nil
	case current.Number > 0:
		// The newest version is never retired: without it this is not the lake it was.
		_, err := c.store.Stat(ctx, Key(current.Number))
		return current, err
	default:
		return nil, lake.Errorf(lake.CodeNotFound, "there is no catalog version")
	}
}

// Adopt makes a version that Newest gave current.
func (c *Catalog) Adopt(v *format.Version) { c.current.Store(v) }
