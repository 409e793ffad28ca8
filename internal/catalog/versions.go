package catalog

import (
	"context"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"tarn/internal/format"
	"tarn/internal/lake"
	"tarn/internal/store"
)

const (
	prefix    = "catalog/"
	extension = ".json"
	digits    = 20
)

// Key is where the version of a number lies.
func Key(number int64) string { return fmt.Sprintf("%s%0*d%s", prefix, digits, number, extension) }

// Number is the number of the version under a key; ok is false for what is no
// version's key.
func Number(key string) (number int64, ok bool) {
	name, isBelow := strings.CutPrefix(key, prefix)
	text, isJSON := strings.CutSuffix(name, extension)
	if !isBelow || !isJSON || len(text) != digits {
		return 0, false
	}
	number, err := strconv.ParseInt(text, 10, 64)
	return number, err == nil && number > 0
}

// Versions gives the numbers of the versions that are there, ascending. Older
// ones may have been collected. After an error it ends.
func (c *Catalog) Versions(ctx context.Context) iter.Seq2[int64, error] {
	return Versions(ctx, c.store)
}

// Versions is Catalog.Versions of a lake that is only looked at.
func Versions(ctx context.Context, s store.Store) iter.Seq2[int64, error] {
	return func(yield func(int64, error) bool) {
		for info, err := range s.List(ctx, prefix, "") {
			if err != nil {
				yield(0, err)
				return
			}
			if n, ok := Number(info.Key); ok && !yield(n, nil) {
				return
			}
		}
	}
}

// Read reads and verifies a version. Absent is lake.ErrNotFound; one that is not
// as it was written, or stands under another's number, is lake.CodeDamaged.
func (c *Catalog) Read(ctx context.Context, number int64) (format.Version, error) {
	return Read(ctx, c.store, number)
}

// Read is Catalog.Read of a lake that is only looked at.
func Read(ctx context.Context, s store.Store, number int64) (format.Version, error) {
	key := Key(number)
	body, err := s.Get(ctx, key)
	if err != nil {
		return format.Version{}, err
	}
	v, err := format.DecodeVersion(key, body)
	if err != nil {
		return format.Version{}, err
	}
	if v.Number != number {
		e := lake.Errorf(lake.CodeDamaged, "it holds version %d", v.Number)
		e.Step = key
		return format.Version{}, e.WithHint("the file was renamed or copied over; restore it from a backup")
	}
	return v, nil
}

// Delete removes an old version; the current one is refused.
func (c *Catalog) Delete(ctx context.Context, number int64) error {
	if current := c.Current().Number; number >= current {
		return lake.Errorf(lake.CodeInternal, "delete catalog version %d: the current one is %d", number, current)
	}
	return c.store.Delete(ctx, Key(number))
}
