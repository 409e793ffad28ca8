package httpapi

import (
	"io"
	"mime"
	"net/http"
	"strings"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

const mediaMultipart = "multipart/form-data"

// importFiles takes one file, or several as multipart, into a dataset in one
// commit.
func (a *api) importFiles(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	idem, err := c.idempotency()
	if err != nil {
		return err
	}
	var key []string
	if s, ok := c.params["primary_key"]; ok {
		if key, err = readColumns(s); err != nil {
			return err
		}
	}
	body, err := a.upload(c, c.door.Settings().MaxImportBytes, "max_import_bytes")
	if err != nil {
		return err
	}
	next, err := filesOf(c.r.Header.Get("Content-Type"), body)
	if err != nil {
		return err
	}
	job, err := c.door.Import(c.lasting(), engine.ImportRequest{
		Dataset: name, Mode: engine.ImportMode(c.params["mode"]), PrimaryKey: key,
		OnDuplicate: engine.OnDuplicate(c.params["on_duplicate"]), Next: next, Idempotency: idem,
	})
	if err != nil {
		return err
	}
	return a.replyJob(c, job)
}

// readColumns reads column names parted by commas. A name that has a comma or
// a quote itself stands in double quotes, quotes doubled.
func readColumns(s string) ([]string, error) {
	if !strings.Contains(s, `"`) {
		out := strings.Split(s, ",")
		if contains(out, "") {
			return nil, badColumns(s)
		}
		return out, nil
	}
	var out []string
	for {
		name, rest, ok := cutColumn(s)
		if !ok || name == "" {
			return nil, badColumns(s)
		}
		out = append(out, name)
		if rest == "" {
			return out, nil
		}
		if s, ok = strings.CutPrefix(rest, ","); !ok {
			return nil, badColumns(rest)
		}
	}
}

// cutColumn cuts one name, quoted or bare, off a list; ok is false where a
// quote does not end.
func cutColumn(s string) (name, rest string, ok bool) {
	rest, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		end := strings.IndexByte(s, ',')
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	for {
		part, after, found := strings.Cut(rest, `"`)
		if !found {
			return "", "", false
		}
		name += part
		if rest, found = strings.CutPrefix(after, `"`); !found {
			return name, after, true
		}
		name += `"`
	}
}

func badColumns(at string) error {
	return lake.Errorf(lake.CodeInvalidRequest, "primary_key does not parse at %q", clip(at)).
		WithHint(`column names parted by commas; a name with a comma in double quotes: a,"b,c"`)
}

// filesOf gives the files of an import one by one: the body itself, or the
// parts of a multipart body. io.EOF is the end.
func filesOf(contentType string, body io.Reader) (func() (engine.ImportFile, error), error) {
	media, params, err := mime.ParseMediaType(contentType)
	if err == nil && media == mediaMultipart {
		if params["boundary"] == "" {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the Content-Type multipart/form-data names no boundary")
		}
		return partsOf(body, params["boundary"]), nil
	}
	format, _, err := rows.FormatOf(contentType)
	if err != nil {
		if isCode(err, lake.CodeUnsupportedMedia) {
			err = lake.Errorf(lake.CodeUnsupportedMedia, "%w", err).WithHint("%s, or multipart/form-data of these", lake.HintOf(err))
		}
		return nil, err
	}
	return engine.Files(engine.ImportFile{Name: "the body", Format: format, Body: body, Type: scopeType(contentType)}), nil
}

// replyJob waits for a job and answers with its result; or, where the client
// asked not to wait, says where the job is found.
func (a *api) replyJob(c *call, job *engine.Job) error {
	c.jobID = job.Info().ID
	if c.params["wait"] == "false" {
		c.w.Header().Set("Location", c.prefix+"/jobs/"+c.jobID)
		return c.reply(http.StatusAccepted, jobStarted{c.jobID})
	}
	result, err := job.Wait(c.r.Context())
	if err != nil {
		return err
	}
	if imported, ok := result.(engine.ImportResult); ok {
		c.rows = imported.Rows
	}
	return c.reply(http.StatusOK, publicResult(result))
}
