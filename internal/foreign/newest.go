package foreign

import (
	"context"

	"tarn/internal/lake"
)

// Newest is the Metadata that Load would give, at the cost of one look. Errors are those of
// Load.
func (p *Places) Newest(ctx context.Context, s Source) (string, error) {
	if err := s.check(); err != nil {
		return "", err
	}
	find := func() (string, error) { return p.newest(ctx, s.Location) }
	if s.Catalog != "" {
		find = func() (string, error) {
			uri, _, err := p.ask(ctx, s)
			return uri, err
		}
	}
	uri, err := find()
	return uri, lake.Step("look at the table "+s.String(), err)
}
