package icebergrest

import (
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	"github.com/apache/iceberg-go"
	icebergtable "github.com/apache/iceberg-go/table"

	"tarn/internal/engine"
	"tarn/internal/foreign"
	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

// Bounds of bodies: a commit names snapshots, of which each is small.
const (
	maxSmallBytes = 1 << 20
	maxBodyBytes  = 64 << 20
)

// The keys of a table's config, and the headers, that say how far it goes.
const (
	keyFolded      = "tarn.folded-through"
	keySequence    = "tarn.sequence"
	headerFolded   = "Tarn-Folded-Through"
	headerSequence = "Tarn-Sequence"
)

// headerDelegation is how a client asks for credentials of the store. There are none.
const headerDelegation = "X-Iceberg-Access-Delegation"

// read decodes a JSON body. Fields that it does not know are left alone, as Iceberg's
// OpenAPI grows.
func read(c *httpapi.MountCall, into any, limit int64) error {
	body, err := c.Body(limit)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(body, into); err != nil {
		return lake.Errorf(lake.CodeInvalidRequest, "the body: %w", err)
	}
	return nil
}

// tableAnswer is Iceberg's LoadTableResult, and what a commit answers.
type tableAnswer struct {
	MetadataLocation string            `json:"metadata-location,omitempty"`
	Metadata         json.RawMessage   `json:"metadata"`
	Config           map[string]string `json:"config,omitempty"`
}

func replyTable(c *httpapi.MountCall, t engine.IcebergTable) error {
	out := tableAnswer{MetadataLocation: t.MetadataLocation, Metadata: t.Metadata}
	if t.MetadataLocation != "" {
		folded, sequence := strconv.FormatInt(t.FoldedThrough, 10), strconv.FormatInt(t.Sequence, 10)
		// DuckDB, where it asks for credentials, takes any config for such.
		if c.R.Header.Get(headerDelegation) == "" {
			out.Config = map[string]string{keyFolded: folded, keySequence: sequence}
		}
		c.W.Header().Set(headerFolded, folded)
		c.W.Header().Set(headerSequence, sequence)
	}
	return reply(c.W, http.StatusOK, out)
}

func loadTable(c *httpapi.MountCall) error {
	name, err := table(c)
	if err != nil {
		return err
	}
	snapshots := c.R.URL.Query().Get("snapshots")
	if snapshots != "" && snapshots != "all" && snapshots != "refs" {
		return lake.Errorf(lake.CodeInvalidRequest, "snapshots is all or refs")
	}
	t, err := c.Door.IcebergLoad(c.R.Context(), engine.IcebergLoadRequest{Dataset: name, RefsOnly: snapshots == "refs"})
	if err != nil {
		return err
	}
	return replyTable(c, t)
}

// there fails where the dataset is not one that whoever calls may see.
func there(c *httpapi.MountCall) error {
	name, err := table(c)
	if err != nil {
		return err
	}
	names, err := c.Door.IcebergNames(c.R.Context(), nil)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(names, func(n lake.Name) bool { return n.Key() == name.Key() }) {
		return engine.NoDataset(name)
	}
	return nil
}

func headTable(c *httpapi.MountCall) error {
	if err := there(c); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// reportMetrics takes what a client tells of its scans and commits, and has no use for it.
func reportMetrics(c *httpapi.MountCall) error {
	if err := there(c); err != nil {
		return err
	}
	if _, err := c.Body(maxSmallBytes); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// createBody is Iceberg's CreateTableRequest.
type createBody struct {
	Name       string            `json:"name"`
	Location   string            `json:"location"`
	Schema     *iceberg.Schema   `json:"schema"`
	Spec       *fieldsOnly       `json:"partition-spec"`
	Order      *fieldsOnly       `json:"write-order"`
	Stage      bool              `json:"stage-create"`
	Properties map[string]string `json:"properties"`
}

// fieldsOnly is a partition spec or a sort order, of which only those without fields are
// taken.
type fieldsOnly struct {
	Fields []json.RawMessage `json:"fields"`
}

func (f *fieldsOnly) any() bool { return f != nil && len(f.Fields) > 0 }

func createTable(c *httpapi.MountCall) error {
	var body createBody
	if err := read(c, &body, maxBodyBytes); err != nil {
		return err
	}
	name, err := identifier{[]string{c.R.PathValue("ns")}, body.Name}.lake()
	if err != nil {
		return err
	}
	c.Named(name)
	cannot := func(what string) error {
		return lake.Errorf(lake.CodeUnsupported, "a table cannot be made with %s", what)
	}
	switch {
	case body.Spec.any():
		return cannot("a partition spec: tarn's are not partitioned")
	case body.Order.any():
		return cannot("a sort order: tarn sorts by the identifier fields")
	case body.Location != "":
		return cannot("a location of its own: it lies where the lake is")
	}
	t, err := c.Door.IcebergCreate(c.R.Context(), engine.IcebergCreateRequest{
		Dataset: name, Schema: body.Schema, Properties: body.Properties, Stage: body.Stage,
	})
	if err != nil {
		return err
	}
	return replyTable(c, t)
}

// commitBody is Iceberg's CommitTableRequest.
type commitBody struct {
	Identifier   *identifier               `json:"identifier"`
	Requirements icebergtable.Requirements `json:"requirements"`
	Updates      icebergtable.Updates      `json:"updates"`
}

func commitTable(c *httpapi.MountCall) error {
	name, err := table(c)
	if err != nil {
		return err
	}
	var body commitBody
	if err := read(c, &body, maxBodyBytes); err != nil {
		return err
	}
	if body.Identifier != nil {
		if other, err := body.Identifier.lake(); err != nil || other.Key() != name.Key() {
			return lake.Errorf(lake.CodeInvalidRequest, "the body names another table than the path")
		}
	}
	t, err := c.Door.IcebergCommit(c.R.Context(), engine.IcebergCommitRequest{Dataset: name, Requirements: body.Requirements, Updates: body.Updates})
	if err != nil {
		return err
	}
	return replyTable(c, t)
}

// maxTransactionTables bounds a commit to several tables: each is held meanwhile.
const maxTransactionTables = 100

// commitTransaction commits to one table or several, all or none.
func commitTransaction(c *httpapi.MountCall) error {
	var body struct {
		Changes []commitBody `json:"table-changes"`
	}
	if err := read(c, &body, maxBodyBytes); err != nil {
		return err
	}
	if n := len(body.Changes); n == 0 || n > maxTransactionTables {
		return lake.Errorf(lake.CodeInvalidRequest, "a transaction is of 1 to %d tables, and this one of %d", maxTransactionTables, n)
	}
	var names []lake.Name
	var all []engine.IcebergCommitRequest
	for i, one := range body.Changes {
		if one.Identifier == nil {
			return lake.Errorf(lake.CodeInvalidRequest, "the change %d of the transaction names no table", i+1)
		}
		name, err := one.Identifier.lake()
		if err != nil {
			return err
		}
		names = append(names, name)
		all = append(all, engine.IcebergCommitRequest{Dataset: name, Requirements: one.Requirements, Updates: one.Updates})
	}
	c.Named(names...)
	if err := c.Door.IcebergTransaction(c.R.Context(), all); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// dropTable drops a dataset. Its files go once nothing retains them, purged or not.
func dropTable(c *httpapi.MountCall) error {
	name, err := table(c)
	if err != nil {
		return err
	}
	if err := c.Door.Drop(c.R.Context(), name, engine.Idempotency{}); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

func renameTable(c *httpapi.MountCall) error {
	var body struct {
		Source      identifier `json:"source"`
		Destination identifier `json:"destination"`
	}
	if err := read(c, &body, maxSmallBytes); err != nil {
		return err
	}
	from, err := body.Source.lake()
	if err != nil {
		return err
	}
	c.Named(from)
	to, err := body.Destination.lake()
	if err != nil {
		return err
	}
	if _, err := c.Door.Rename(c.R.Context(), from, to, engine.Idempotency{}); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// registerTable makes a dataset of a table that somebody else wrote, as its metadata file
// says: tarn owns it from then on. The files stay where they are too; in the lake they are links or
// copies, so that the table has another location and uuid than the file says.
func registerTable(c *httpapi.MountCall) error {
	var body struct {
		Name      string `json:"name"`
		Location  string `json:"metadata-location"`
		Overwrite bool   `json:"overwrite"`
	}
	if err := read(c, &body, maxSmallBytes); err != nil {
		return err
	}
	name, err := identifier{[]string{c.R.PathValue("ns")}, body.Name}.lake()
	if err != nil {
		return err
	}
	c.Named(name)
	if body.Overwrite {
		return lake.Errorf(lake.CodeUnsupported, "a table is not registered over another").WithHint("drop the other first")
	}
	j, err := c.Door.Attach(c.R.Context(), engine.AttachRequest{Dataset: name, Source: foreign.Source{Location: body.Location}, Own: true})
	if err != nil {
		return err
	}
	if _, err := j.Wait(c.R.Context()); err != nil {
		return err
	}
	t, err := c.Door.IcebergLoad(c.R.Context(), engine.IcebergLoadRequest{Dataset: name})
	if err != nil {
		return err
	}
	return replyTable(c, t)
}
