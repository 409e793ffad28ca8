package httpapi

import (
	"net/http"
	"slices"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

func (a *api) upsertRows(c *call) error { return a.change(c, engine.OpUpsert) }
func (a *api) deleteRows(c *call) error { return a.change(c, engine.OpDelete) }
func (a *api) changeRows(c *call) error { return a.change(c, engine.OpChanges) }

// change is what the three calls that change rows share.
func (a *api) change(c *call, op engine.ChangeOp) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	format, _, err := rows.FormatOf(c.r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if op == engine.OpChanges && format != rows.NDJSON {
		return lake.Errorf(lake.CodeUnsupportedMedia, "changes come as NDJSON alone").
			WithHint(`send application/x-ndjson: a line {"op":"upsert","row":{…}} or {"op":"delete","key":{…}} each`)
	}
	body, err := a.upload(c, c.door.Settings().MaxBodyBytes, "max_body_bytes")
	if err != nil {
		return err
	}
	missing := map[string]rows.MissingPolicy{"null": rows.MissingNull, "keep": rows.MissingKeep}[c.params["missing"]] // else MissingError
	res, err := c.door.Change(c.lasting(), engine.ChangeRequest{
		Dataset: name, Op: op, Format: format, Body: body, Missing: missing,
		IfMatch: c.ifMatch(), Idempotency: idem,
	})
	if err != nil {
		return err
	}
	c.rows = res.Rows
	c.setETag(res.ETag)
	return c.reply(http.StatusOK, res)
}

// getRows answers with the rows of the keys in the body.
func (a *api) getRows(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	out, media, err := c.negotiate()
	if err != nil {
		return err
	}
	format, _, err := rows.FormatOf(c.r.Header.Get("Content-Type"))
	if err != nil {
		return err
	}
	if err := c.canStream(); err != nil {
		return err
	}
	body, err := a.upload(c, c.door.Settings().MaxBodyBytes, "max_body_bytes")
	if err != nil {
		return err
	}
	ans, err := c.door.Get(c.r.Context(), engine.GetRequest{Dataset: name, Format: format, Body: body, Out: out, ID: c.queryID})
	if err != nil {
		return err
	}
	return a.stream(c, ans, out, media)
}

// getRow answers with one row. Its key reaches the lake as the path has it:
// commas part the columns, and only then is anything percent-decoded.
func (a *api) getRow(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	row, etag, err := c.door.Row(c.r.Context(), name, rowKey(c.path))
	if err != nil {
		return err
	}
	c.setETag(etag)
	if c.door.Outage() {
		c.w.Header().Set(headerStore, "unreachable")
	}
	c.w.Header().Set("Content-Type", rows.MediaJSON)
	_, _ = c.w.Write(append(slices.Clip(row), '\n')) // a client that is gone needs no answer
	return nil
}

// rowKey takes the key off an escaped path /datasets/{name}/rows/{key}.
func rowKey(escaped string) string {
	return strings.SplitN(escaped, "/", 5)[4] // "", datasets, name, rows, key: the mux has matched it
}
