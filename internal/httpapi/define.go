package httpapi

import (
	"net/http"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/sqlddl"
)

// define runs a statement that makes or drops a dataset.
func (a *api) define(c *call, body sqlBody, s *sqlddl.Statement, timeout time.Duration) error {
	c.dataset = s.Target.String()
	if err := a.raise(c, writes(ofSQL)); err != nil {
		return err
	}
	switch {
	case !accepts(c.r.Header, rows.MediaJSON):
		return lake.Errorf(lake.CodeNotAcceptable, "a statement that makes or drops a dataset answers application/json alone").
			WithHint("accept application/json; nothing was changed")
	case c.ifMatch() != "":
		return lake.Errorf(lake.CodeInvalidRequest, "CREATE and DROP take no If-Match").WithHint("IF EXISTS and IF NOT EXISTS are theirs")
	case body.Params != nil && s.Query == "":
		return lake.Errorf(lake.CodeInvalidRequest, "the statement has no parameters").WithHint("leave params out")
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	res, err := c.door.Define(c.r.Context(), engine.DefinitionRequest{
		SQL: body.SQL, Statement: s, Params: body.Params, Timeout: timeout, ID: c.queryID, Idempotency: idem,
	})
	if err != nil {
		return err
	}
	c.rows = res.Rows
	c.setETag(res.ETag)
	return c.reply(http.StatusOK, res)
}
