package serving

import (
	"context"
	"encoding/json"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// sayChecked answers with what the gate says of a text. No dataset is read, and no file
// brought here.
func (s *Serving) sayChecked(ctx context.Context, sess *session, req Request) (*Answer, error) {
	checked, err := s.check(ctx, sess, req)
	if err != nil {
		return nil, err
	}
	says, err := json.Marshal(lake.Checked{
		Select: checked.Kind == duck.Select, Kind: checked.Kind.String(), Datasets: checked.Named(), AsOf: len(checked.Instants) > 0,
	})
	if err != nil {
		return nil, err
	}
	return s.run(ctx, sess, plan{sql: "SELECT " + lake.QuoteString(string(says)) + " AS checked"})
}
