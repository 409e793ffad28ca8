package httpapi

import (
	"net/http"

	"tarn/internal/engine"
	"tarn/internal/foreign"
	"tarn/internal/lake"
)

// attachBody says which table of others a dataset shall stand on.
type attachBody struct {
	Location   string   `json:"location,omitempty" doc:"the table's metadata file or its folder, below attach_roots: an absolute path, or a bucket's URI"`
	Catalog    string   `json:"catalog,omitempty" doc:"instead of a location: the name of a catalog of attach_catalogs"`
	Table      string   `json:"table,omitempty" doc:"with catalog: namespace.name"`
	PrimaryKey []string `json:"primary_key,omitempty" doc:"key columns in key order; without, the table's identifier fields, if it has any"`
}

// source is the table that the body names.
func (b attachBody) source() (foreign.Source, error) {
	switch {
	case b.Location != "" && (b.Catalog != "" || b.Table != ""):
		return foreign.Source{}, lake.Errorf(lake.CodeInvalidRequest, "location goes without catalog and table").WithHint("name one table")
	case b.Location == "" && b.Catalog == "" && b.Table == "":
		return foreign.Source{}, lake.Errorf(lake.CodeInvalidRequest, "no table is named").WithHint("give location, or catalog and table")
	case b.Location == "" && (b.Catalog == "" || b.Table == ""):
		return foreign.Source{}, lake.Errorf(lake.CodeInvalidRequest, "catalog and table go together")
	case b.PrimaryKey != nil && len(b.PrimaryKey) == 0:
		return foreign.Source{}, lake.Errorf(lake.CodeInvalidRequest, "primary_key is empty").WithHint("name the columns, or leave it out")
	}
	return foreign.Source{Location: b.Location, Catalog: b.Catalog, Table: b.Table}, nil
}

func (a *api) attachRoutes() []*route {
	jobErrors := func(more ...lake.Code) []lake.Code {
		return append(more, lake.CodeReadOnly, lake.CodeNotFound, lake.CodeUnsupported, lake.CodeKeyConflict, lake.CodeRowsInvalid, lake.CodeTooLarge, lake.CodeOverloaded, lake.CodeCancelled, lake.CodeDamaged,
			lake.CodeNotReady, lake.CodeUnavailable, lake.CodeUnknownOutcome, lake.CodeFenced, lake.CodeOutOfDisk, lake.CodeOutOfMemory)
	}
	taken := func(doc string) []answer {
		return []answer{{status: http.StatusOK, doc: doc, content: jsonOf(engine.AttachResult{})}, startedAnswer()}
	}
	return []*route{{
		method: http.MethodPost, path: "/datasets/{name}/attach", id: "attach", tag: tagAttach, needs: administers(),
		summary: "Make a dataset of a table of others", handle: a.attach,
		doc:     "Takes the newest snapshot of an Iceberg table that others own as the base of a new dataset. Their data files become hard links in the lake, or are copied; nothing is written to their place. A client that goes away does not end it.",
		query:   []queryParam{waitParam()},
		body:    jsonOf(attachBody{}),
		answers: taken("attached"),
		errors:  jobErrors(lake.CodeDatasetExists, lake.CodeUnsupportedMedia),
	}, {
		method: http.MethodPost, path: "/datasets/{name}/sync", id: "sync", tag: tagAttach, needs: writes(ofPath),
		summary: "Take the owner's newest snapshot", handle: a.sync,
		doc:     "Rows and deletions of tarn stay on top: of a key that both changed, tarn's row stays. The server does it by itself every attach_interval.",
		query:   []queryParam{waitParam()},
		answers: taken("synced; changed is false where there was nothing new"),
		errors:  jobErrors(lake.CodeDatasetNotFound),
	}, {
		method: http.MethodPost, path: "/datasets/{name}/detach", id: "detach", tag: tagAttach, needs: writes(ofPath),
		summary: "Make an attached dataset tarn's own", handle: a.detach,
		doc:     "It keeps the rows that it has; what the owner commits from then on does not reach it. Nothing is copied.",
		answers: []answer{{status: http.StatusOK, doc: "the dataset, which is tarn's own now", content: jsonOf(engine.Description{}), headers: []string{"ETag"}}},
		errors: []lake.Code{lake.CodeReadOnly, lake.CodeDatasetNotFound, lake.CodeUnsupported, lake.CodeOverloaded, lake.CodeNotReady, lake.CodeUnavailable, lake.CodeUnknownOutcome,
			lake.CodeFenced, lake.CodeOutOfDisk},
	}}
}

func (a *api) attach(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	var body attachBody
	if err := a.readJSON(c, &body); err != nil {
		return err
	}
	source, err := body.source()
	if err != nil {
		return err
	}
	job, err := c.door.Attach(c.lasting(), engine.AttachRequest{Dataset: name, Source: source, PrimaryKey: body.PrimaryKey})
	if err != nil {
		return err
	}
	return a.replyJob(c, job)
}

func (a *api) sync(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	job, err := c.door.Sync(c.lasting(), name)
	if err != nil {
		return err
	}
	return a.replyJob(c, job)
}

func (a *api) detach(c *call) error {
	name, err := c.name()
	if err != nil {
		return err
	}
	d, err := c.door.Detach(c.lasting(), name)
	if err != nil {
		return err
	}
	return c.replyDescription(http.StatusOK, d)
}
