package httpapi

import (
	"net/http"
	"slices"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// The tags that group routes in the document.
const (
	tagQueries  = "Queries"
	tagCache    = "Cache"
	tagDatasets = "Datasets"
	tagImport   = "Import and compaction"
	tagAttach   = "Tables of others"
	tagRows     = "Rows"
	tagRunning  = "What runs"
	tagMoves    = "Backup and moves"
	tagServer   = "Server"
)

// routes is the table of calls.
func (a *api) routes() []*route {
	return slices.Concat(a.queryRoutes(), a.cacheRoutes(), a.datasetRoutes(), a.jobRoutes(), a.attachRoutes(), a.rowRoutes(), a.moveRoutes(), a.runningRoutes(), a.workerRoutes(), a.serverRoutes())
}

// queryErrors are what every read of rows can end in.
func queryErrors(more ...lake.Code) []lake.Code {
	return append(more, lake.CodeDatasetNotFound, lake.CodeNotAcceptable, lake.CodeTooLarge, lake.CodeUnsupportedMedia,
		lake.CodeOverloaded, lake.CodeCancelled, lake.CodeDamaged, lake.CodeWorkerDied, lake.CodeNotReady, lake.CodeBehind, lake.CodeUnavailable,
		lake.CodeDeadline, lake.CodeOutOfDisk, lake.CodeOutOfMemory)
}

// commitErrors are what everything that commits can end in.
func commitErrors(more ...lake.Code) []lake.Code {
	return append(more, lake.CodeReadOnly, lake.CodeIdempotencyReused, lake.CodeNotReady, lake.CodeUnavailable, lake.CodeUnknownOutcome,
		lake.CodeFenced, lake.CodeOutOfDisk)
}

// rowBodies are the formats that rows and keys come in.
func rowBodies(doc string) []content {
	return []content{
		{media: rows.MediaJSON, doc: doc + ": an array of objects by column name, or one object"},
		{media: rows.MediaNDJSON, doc: doc + ": an object a line"},
		{media: rows.MediaCSV, doc: doc + ": RFC 4180 with a header; an empty field is null, a quoted empty one the empty string"},
		{media: rows.MediaArrow, doc: doc + ": an Arrow IPC stream"},
		{media: rows.MediaParquet, doc: doc + ": a Parquet file"},
	}
}

// streamed are the answers of a query.
func streamed() []answer {
	return []answer{{
		status: http.StatusOK, doc: "the rows, as they come",
		content: []content{
			{media: rows.MediaJSON, typ: queryAnswer{}},
			{media: rows.MediaNDJSON, doc: "an object a line"},
			{media: rows.MediaCSV, doc: "RFC 4180 with a header"},
			{media: rows.MediaArrow, doc: "an Arrow IPC stream"},
			{media: rows.MediaParquet, doc: "a Parquet file, which ends with its footer"},
		},
		headers: []string{headerQueryID, headerReadPoints, headerServedFrom, headerEngine, headerResults, headerStore, headerAsOf, headerStaleness},
	}}
}

// queryAnswer is a query's answer as JSON. It is only the document's: the
// worker writes it.
type queryAnswer struct {
	Columns []struct {
		Name string `json:"name"`
		Type string `json:"type"`
	} `json:"columns"`
	Rows       [][]any               `json:"rows"`
	RowCount   int64                 `json:"row_count"`
	ElapsedMS  float64               `json:"elapsed_ms"`
	ReadPoints map[string]lake.Place `json:"read_points"`
	ServedFrom map[string]string     `json:"served_from"`
	// Changed is of a statement with RETURNING.
	Changed *engine.StatementResult `json:"changed,omitempty" doc:"what a statement with RETURNING did"`
}

func (a *api) queryRoutes() []*route {
	answers := streamed()
	answers[0].content[0].or = []any{engine.StatementResult{}, engine.TransactionResult{}, engine.DefinitionResult{}, engine.AlterResult{}}
	answers[0].headers = append(answers[0].headers, "ETag", headerChanged)
	return []*route{{
		method: http.MethodPost, path: "/query/sql", id: "query-sql", tag: tagQueries, needs: reads(ofSQL),
		summary: "Run a query, or a statement that changes something", handle: a.querySQL, asQuery: true, fresh: true, idempotent: true, ifMatch: true,
		query: []queryParam{{
			name: paramEngine, values: engine.Engines(), fallback: engine.EngineHere,
			doc: "who answers a SELECT: this server, or a cluster that is configured; auto hands over what is larger than handover_bytes",
		}},
		doc: "One SELECT, SHOW TABLES, DESCRIBE or EXPLAIN over all datasets, at one instant of the whole lake. The answer streams in the format that Accept asks for. A client that goes away cancels it. " +
			"Or one INSERT, UPDATE, DELETE or MERGE, which reads at the newest state and changes all its rows or none; it answers JSON, or with RETURNING rows as a query does, and takes If-Match and Idempotency-Key, which queries do not. " +
			"Or BEGIN; several of these; COMMIT, of one or more datasets: all of them or none, seen by every query together; it answers JSON and takes Idempotency-Key. With ROLLBACK at its end it is a dry run. " +
			"Or one CREATE TABLE (with columns, or AS a query) or DROP TABLE, which makes or drops a dataset in one step; it answers JSON and takes Idempotency-Key. Or one ALTER TABLE, as POST /datasets/{name}/schema and /rename. " +
			"With engine a SELECT is handed over to a cluster, after a fold of what is pending; its rows have the cluster's types.",
		body:    []content{{media: rows.MediaJSON, typ: sqlBody{}}, {media: mediaText, doc: "the SQL itself"}},
		answers: answers,
		errors: queryErrors(lake.CodeSQLInvalid, lake.CodeSQLRefused, lake.CodeReadOnly, lake.CodeIdempotencyReused, lake.CodeUnknownOutcome, lake.CodeFenced,
			lake.CodeNoPrimaryKey, lake.CodeKeyConflict, lake.CodeRowsNotKept, lake.CodeSchemaChanged, lake.CodePreconditionFailed, lake.CodeRowsInvalid, lake.CodeUnsupported, lake.CodePendingFull,
			lake.CodeDatasetExists, lake.CodeEngineUnavailable, lake.CodeEngineFailed),
	}}
}

func (a *api) datasetRoutes() []*route {
	described := func(status int, doc string) []answer {
		return []answer{{status: status, doc: doc, content: jsonOf(engine.Description{}), headers: []string{"ETag"}}}
	}
	created := described(http.StatusCreated, "created")
	created[0].headers = append(created[0].headers, "Location")
	return []*route{{
		method: http.MethodGet, path: "/datasets", id: "list-datasets", tag: tagDatasets, needs: reads(ofLists),
		summary: "List datasets", handle: a.listDatasets,
		answers: []answer{{status: http.StatusOK, doc: "all datasets", content: jsonOf(datasetsAnswer{})}},
		errors:  []lake.Code{lake.CodeNotReady, lake.CodeBehind, lake.CodeUnavailable},
	}, {
		method: http.MethodGet, path: "/datasets/{name}", id: "describe-dataset", tag: tagDatasets, needs: reads(ofPath),
		summary: "Describe a dataset", handle: a.describeDataset,
		doc:     "Its columns, key, exact row count, files, pending changes and read point.",
		answers: described(http.StatusOK, "the dataset"),
		errors:  []lake.Code{lake.CodeDatasetNotFound, lake.CodeNotReady, lake.CodeBehind, lake.CodeUnavailable},
	}, {
		method: http.MethodPut, path: "/datasets/{name}", id: "create-dataset", tag: tagDatasets, needs: writes(ofPath),
		summary: "Create an empty dataset", handle: a.createDataset, idempotent: true,
		body:    jsonOf(createBody{}),
		answers: created,
		errors:  commitErrors(lake.CodeDatasetExists, lake.CodeUnsupported, lake.CodeUnsupportedMedia, lake.CodeTooLarge),
	}, {
		method: http.MethodDelete, path: "/datasets/{name}", id: "drop-dataset", tag: tagDatasets, needs: writes(ofPath),
		summary: "Drop a dataset", handle: a.dropDataset, idempotent: true,
		answers: []answer{{status: http.StatusNoContent, doc: "dropped"}},
		errors:  commitErrors(lake.CodeDatasetNotFound),
	}, {
		method: http.MethodPost, path: "/datasets/{name}/rename", id: "rename-dataset", tag: tagDatasets, needs: writes(ofBoth),
		summary: "Rename a dataset", handle: a.renameDataset, idempotent: true,
		body:    jsonOf(renameBody{}),
		answers: described(http.StatusOK, "the dataset under its new name"),
		errors:  commitErrors(lake.CodeDatasetNotFound, lake.CodeDatasetExists, lake.CodeUnsupportedMedia, lake.CodeTooLarge),
	}, {
		method: http.MethodPost, path: "/datasets/{name}/schema", id: "alter-dataset", tag: tagDatasets, needs: writes(ofPath),
		summary: "Change a dataset's schema", handle: a.alterDataset, idempotent: true,
		doc:  "Columns are added, dropped, renamed and widened, and may or may not be null, in one step; no file is written anew. It waits for the dataset's running import or compaction to end.",
		body: jsonOf(schemaBody{}), answers: []answer{{status: http.StatusOK, doc: "the schema as it is now", content: jsonOf(engine.AlterResult{}), headers: []string{"ETag"}}},
		errors: commitErrors(lake.CodeDatasetNotFound, lake.CodeUnsupported, lake.CodeRowsInvalid, lake.CodeUnsupportedMedia, lake.CodeTooLarge,
			lake.CodeDamaged, lake.CodeDeadline, lake.CodeOverloaded, lake.CodeOutOfMemory, lake.CodeWorkerDied),
	}, {
		method: http.MethodGet, path: "/datasets/{name}/deltas", id: "list-deltas", tag: tagDatasets, needs: reads(ofPath),
		summary: "List the deltas that are kept", handle: a.listDeltas,
		answers: []answer{{status: http.StatusOK, doc: "the deltas, by sequence", content: jsonOf(deltasAnswer{})}},
		errors:  []lake.Code{lake.CodeDatasetNotFound, lake.CodeNotReady, lake.CodeBehind, lake.CodeUnavailable},
	}}
}

// waitParam is taken by what starts a job.
func waitParam() queryParam {
	return queryParam{name: "wait", values: []string{"true", "false"}, fallback: "true", doc: "false answers at once with the job's id"}
}

func startedAnswer() answer {
	return answer{status: http.StatusAccepted, doc: "the job goes on (wait=false)", content: jsonOf(jobStarted{}), headers: []string{"Location"}}
}

func (a *api) jobRoutes() []*route {
	return []*route{{
		method: http.MethodPost, path: "/datasets/{name}/import", id: "import", tag: tagImport, needs: writes(ofPath),
		summary: "Import files", handle: a.importFiles, idempotent: true,
		doc: "The body is a file, or multipart/form-data with a file a part; all go in with one commit. A client that goes away after its upload does not end the import.",
		query: []queryParam{
			{name: "primary_key", doc: "column names parted by commas, a name with a comma in double quotes; with a mode other than create it must be the dataset's"},
			{name: "mode", values: []string{string(engine.ImportCreate), string(engine.ImportAppend), string(engine.ImportReplace)}, fallback: string(engine.ImportCreate), doc: "create a dataset, append to one, or replace its rows"},
			{name: "on_duplicate", values: []string{string(engine.DuplicateError), string(engine.DuplicateLast)}, fallback: string(engine.DuplicateError), doc: "double or existing keys are an error, or the last row wins"},
			waitParam(),
		},
		body:    append(rowBodies("rows"), content{media: mediaMultipart, doc: "a file a part, each with its own Content-Type"}),
		answers: []answer{{status: http.StatusOK, doc: "imported", content: jsonOf(engine.ImportResult{})}, startedAnswer()},
		errors: commitErrors(lake.CodeDatasetNotFound, lake.CodeDatasetExists, lake.CodeNoPrimaryKey, lake.CodeKeyMismatch, lake.CodeKeyConflict, lake.CodeSchemaChanged,
			lake.CodeTooLarge, lake.CodeUnsupportedMedia, lake.CodeRowsInvalid, lake.CodeUnsupported, lake.CodeOverloaded, lake.CodeCancelled, lake.CodeOutOfMemory),
	}, {
		method: http.MethodPost, path: "/query/compact", id: "compact", tag: tagImport, needs: writes(ofAll),
		summary: "Compact", handle: a.compact,
		doc:          "Folds pending changes into the base, exactly. Nothing to do is a success with deltas_merged 0. Without a dataset all are compacted and the answer is {\"results\": […]}; no body at all means the same.",
		query:        []queryParam{waitParam()},
		body:         jsonOf(compactBody{}),
		bodyOptional: true,
		answers:      []answer{{status: http.StatusOK, doc: "compacted; {\"results\": […]} where no dataset was named", content: []content{{media: rows.MediaJSON, typ: compactAnswer{}, or: []any{compactsAnswer{}}}}}, startedAnswer()},
		errors: []lake.Code{lake.CodeReadOnly, lake.CodeDatasetNotFound, lake.CodeHasPrimaryKey, lake.CodeUnsupportedMedia, lake.CodeTooLarge, lake.CodeOverloaded, lake.CodeCancelled, lake.CodeDamaged,
			lake.CodeNotReady, lake.CodeUnavailable, lake.CodeUnknownOutcome, lake.CodeFenced, lake.CodeOutOfDisk, lake.CodeOutOfMemory},
	}}
}

func (a *api) rowRoutes() []*route {
	changed := []answer{{status: http.StatusOK, doc: "durable and visible", content: jsonOf(engine.ChangeResult{}), headers: []string{"ETag"}}}
	missing := queryParam{name: "missing", values: []string{"error", "null"}, fallback: "error", doc: "what a column that a row does not have means"}
	keeping := queryParam{name: "missing", values: []string{"error", "null", "keep"}, fallback: "error", doc: "what a column that a row does not have means; keep: it stays as it is, null where the key is new"}
	changeErrors := commitErrors(lake.CodeDatasetNotFound, lake.CodeNoPrimaryKey, lake.CodeSchemaChanged, lake.CodePreconditionFailed, lake.CodeTooLarge,
		lake.CodeUnsupportedMedia, lake.CodeRowsInvalid, lake.CodePendingFull, lake.CodeOverloaded, lake.CodeOutOfMemory)
	got := streamed()
	got[0].headers = append(got[0].headers, "ETag")
	return []*route{{
		method: http.MethodPost, path: "/datasets/{name}/rows", id: "upsert-rows", tag: tagRows, needs: writes(ofPath),
		summary: "Upsert rows", handle: a.upsertRows, idempotent: true, ifMatch: true,
		doc:   "All or none. A dataset without a key takes appends: every row is added.",
		query: []queryParam{keeping}, body: rowBodies("rows"), answers: changed, errors: changeErrors,
	}, {
		method: http.MethodPost, path: "/datasets/{name}/changes", id: "change-rows", tag: tagRows, needs: writes(ofPath),
		summary: "Upsert rows and delete keys, in order", handle: a.changeRows, idempotent: true, ifMatch: true,
		doc:     "All or none; the last change of a key wins.",
		query:   []queryParam{missing},
		body:    []content{{media: rows.MediaNDJSON, doc: `a line {"op":"upsert","row":{…}} or {"op":"delete","key":{…}} each`}},
		answers: changed, errors: changeErrors,
	}, {
		method: http.MethodGet, path: "/datasets/{name}/changes", id: "change-feed", tag: tagRows, needs: reads(ofPath),
		summary: "Read the changes after a sequence, or follow them", handle: a.changeFeed,
		doc: "Every change in order, and after each sequence a commit (or, for a commit that changed the content by more than changes, content), after which the feed can be resumed. The last event is end, with its reason.",
		query: []queryParam{
			{name: "since", doc: "the sequence after which to begin; needed"},
			{name: "table_uuid", doc: "the table that it is a sequence of; another one is 410"},
			{name: "limit", doc: "end with the sequence in which so many changes are reached"},
			{name: "follow", values: []string{"true", "false"}, fallback: "false", doc: "go on with what is committed, with heartbeats in between"},
		},
		answers: []answer{{
			status: http.StatusOK, doc: "the changes, as they come",
			content: []content{
				{media: rows.MediaNDJSON, doc: "an object a line"},
				{media: rows.MediaArrow, doc: "an Arrow IPC stream: _tarn_op, _tarn_sequence, _tarn_position, _tarn_time, _tarn_changes, _tarn_reason, and the dataset's columns"},
			},
			headers: []string{headerTableUUID, headerAsOf, headerStaleness},
		}},
		errors: []lake.Code{lake.CodeDatasetNotFound, lake.CodeChangesGone, lake.CodeNotAcceptable, lake.CodeOverloaded, lake.CodeCancelled, lake.CodeDamaged,
			lake.CodeNotReady, lake.CodeBehind, lake.CodeUnavailable, lake.CodeFenced, lake.CodeDeadline},
	}, {
		method: http.MethodPost, path: "/datasets/{name}/delete", id: "delete-rows", tag: tagRows, needs: writes(ofPath),
		summary: "Delete keys", handle: a.deleteRows, idempotent: true, ifMatch: true,
		doc:  "All or none. A key that is absent is deleted just the same.",
		body: rowBodies("keys"), answers: changed, errors: changeErrors,
	}, {
		method: http.MethodPost, path: "/datasets/{name}/get", id: "get-rows", tag: tagRows, needs: reads(ofPath),
		summary: "Get the rows of keys", handle: a.getRows, asQuery: true,
		doc:  "Answered like /query/sql; absent keys are left out.",
		body: rowBodies("keys"), answers: got, errors: queryErrors(lake.CodeNoPrimaryKey, lake.CodeRowsInvalid),
	}, {
		method: http.MethodGet, path: "/datasets/{name}/rows/{key}", also: "/datasets/{name}/rows/{$}", id: "get-row", tag: tagRows, needs: reads(ofPath),
		summary: "Get one row", handle: a.getRow,
		doc:     "The key of several columns is parted by commas, then each part is percent-decoded.",
		answers: []answer{{status: http.StatusOK, doc: "the row by column name", content: jsonOf(map[string]any{}), headers: []string{"ETag", headerStore}}},
		errors:  queryErrors(lake.CodeRowNotFound, lake.CodeNoPrimaryKey, lake.CodeRowsInvalid),
	}}
}

func (a *api) runningRoutes() []*route {
	return []*route{{
		method: http.MethodGet, path: "/jobs", id: "list-jobs", tag: tagRunning, needs: reads(ofLists),
		summary: "List jobs", handle: a.listJobs,
		answers: []answer{{status: http.StatusOK, doc: "imports, compactions, attaches and syncs, backups and re-rootings, those that ended for 24 h", content: jsonOf(jobsAnswer{})}},
	}, {
		method: http.MethodGet, path: "/jobs/{id}", id: "show-job", tag: tagRunning, needs: reads(ofJob),
		summary: "Show a job", handle: a.showJob,
		answers: []answer{{status: http.StatusOK, doc: "the job", content: jsonOf(jobAnswer{})}},
		errors:  []lake.Code{lake.CodeJobNotFound},
	}, {
		method: http.MethodDelete, path: "/jobs/{id}", id: "cancel-job", tag: tagRunning, needs: writes(ofJob),
		summary: "Cancel a job", handle: a.cancelJob,
		answers: []answer{{status: http.StatusOK, doc: "the job as it stands", content: jsonOf(jobAnswer{})}},
		errors:  []lake.Code{lake.CodeJobNotFound},
	}, {
		method: http.MethodGet, path: "/queries", id: "list-queries", tag: tagRunning, needs: reads(ofOwn),
		summary: "List running queries", handle: a.listQueries,
		answers: []answer{{status: http.StatusOK, doc: "queries that wait or run", content: jsonOf(queriesAnswer{})}},
	}, {
		method: http.MethodDelete, path: "/queries/{id}", id: "cancel-query", tag: tagRunning, needs: changing(access.Read, ofOwn),
		summary: "Cancel a query", handle: a.cancelQuery,
		answers: []answer{{status: http.StatusOK, doc: "the query as it stood", content: jsonOf(engine.QueryInfo{})}},
		errors:  []lake.Code{lake.CodeQueryNotFound},
	}}
}

func (a *api) serverRoutes() []*route {
	return []*route{{
		method: http.MethodGet, path: "/health", id: "health", tag: tagServer, needs: open(),
		summary: "Liveness", handle: a.health,
		answers: []answer{{status: http.StatusOK, doc: "the process answers", content: jsonOf(statusAnswer{})}},
	}, {
		method: http.MethodGet, path: "/ready", id: "ready", tag: tagServer, needs: open(),
		summary: "Readiness", handle: a.ready,
		answers: []answer{{status: http.StatusOK, doc: "the lake has recovered and every way works", content: jsonOf(statusAnswer{})}},
		errors:  []lake.Code{lake.CodeNotReady, lake.CodeUnavailable, lake.CodeBehind},
	}, {
		method: http.MethodGet, path: "/metrics", id: "metrics", tag: tagServer, needs: scrapes(),
		summary: "Prometheus metrics", handle: a.showMetrics,
		answers: []answer{{status: http.StatusOK, doc: "in Prometheus's text format", content: []content{{media: mediaMetrics, doc: "metrics"}}}},
	}, {
		method: http.MethodGet, path: "/openapi.json", id: "openapi", tag: tagServer, needs: open(),
		summary: "This document", handle: a.showOpenAPI,
		answers: []answer{{status: http.StatusOK, doc: "OpenAPI 3.1", content: jsonOf(map[string]any{})}},
	}, {
		method: http.MethodGet, path: "/docs", id: "docs", tag: tagServer, needs: open(),
		summary: "Its page", handle: a.showDocs,
		answers: []answer{{status: http.StatusOK, doc: "a page for people", content: []content{{media: mediaHTML, doc: "HTML"}}}},
	}}
}
