package httpapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"tarn/internal/lake"
)

// mediaProblem is the media type of errors.
const mediaProblem = "application/problem+json"

// Problem is an error as clients see it (RFC 9457). Code is stable; Detail is
// for people.
type Problem struct {
	Type      string    `json:"type" doc:"a page about the code, relative to the server"`
	Title     string    `json:"title" doc:"the code in words"`
	Status    int       `json:"status" doc:"the HTTP status"`
	Detail    string    `json:"detail" doc:"what is wrong with which thing"`
	Code      lake.Code `json:"code" doc:"stable: match on this"`
	Step      string    `json:"step,omitempty" doc:"the step that failed"`
	Hint      string    `json:"hint,omitempty" doc:"what to do about it"`
	RequestID string    `json:"request_id,omitempty" doc:"of the request that this answers, as in the server's log"`
	QueryID   string    `json:"query_id,omitempty"`
	JobID     string    `json:"job_id,omitempty"`
}

// codeInfo is what HTTP says of a code.
type codeInfo struct {
	code    lake.Code
	status  int
	title   string
	meaning string
}

// statusCancelled is what a call gets that was cancelled by somebody else. It
// has no number of its own in HTTP; this one is widely used for it.
const statusCancelled = 499

// codeTable is the one table from code to status, in the order of the
// documentation.
func codeTable() []codeInfo {
	return []codeInfo{
		{lake.CodeInvalidRequest, http.StatusBadRequest, "The request does not parse", "a body, parameter, header or name that does not parse, or is not known"},
		{lake.CodeSQLInvalid, http.StatusBadRequest, "The SQL is invalid", "the SQL does not parse, bind or run"},
		{lake.CodeUnauthorized, http.StatusUnauthorized, "A token is needed", "the request has no bearer token, or one that is not known"},
		{lake.CodeAccessDenied, http.StatusForbidden, "The token may not do this", "its role or its grants do not reach so far"},
		{lake.CodeSQLRefused, http.StatusForbidden, "The SQL is refused", "not a statement that is served, or it reaches outside the lake"},
		{lake.CodeForbidden, http.StatusForbidden, "Refused for pages of another origin", "a browser sent the request for a page that is not of this server, or it calls the server by a name that is not its own"},
		{lake.CodeReadOnly, http.StatusForbidden, "The lake is read only here", "this server follows another one, which takes changes"},
		{lake.CodeDatasetNotFound, http.StatusNotFound, "No such dataset", "no dataset has that name, also where SQL names it"},
		{lake.CodeRowNotFound, http.StatusNotFound, "No such row", "no row has that key"},
		{lake.CodeJobNotFound, http.StatusNotFound, "No such job", "never was, or is no longer kept"},
		{lake.CodeQueryNotFound, http.StatusNotFound, "No such query", "never was, or has ended"},
		{lake.CodeNotFound, http.StatusNotFound, "Not found", "a path or thing that is not there"},
		{lake.CodeMethodNotAllowed, http.StatusMethodNotAllowed, "Method not allowed", "the path is known, the method is not; Allow lists those that are"},
		{lake.CodeNotAcceptable, http.StatusNotAcceptable, "No such format for answers", "nothing in Accept can be given"},
		{lake.CodeDatasetExists, http.StatusConflict, "The dataset exists", "create or rename to a name that is taken"},
		{lake.CodeNoPrimaryKey, http.StatusConflict, "The dataset has no primary key", "the call needs one"},
		{lake.CodeHasPrimaryKey, http.StatusConflict, "The dataset has a primary key", "the call is for datasets without one"},
		{lake.CodeKeyMismatch, http.StatusConflict, "Another primary key", "primary_key differs from the dataset's"},
		{lake.CodeKeyConflict, http.StatusConflict, "Keys are double, null or exist", "found at import or by INSERT"},
		{lake.CodeRowsNotKept, http.StatusConflict, "The returned rows are not kept", "the statement was done before under this Idempotency-Key; Tarn-Changed says what it did"},
		{lake.CodeSchemaChanged, http.StatusConflict, "The schema changed", "while the request waited; look and send it again"},
		{lake.CodeChangesGone, http.StatusGone, "The feed cannot be resumed there", "the changes after that sequence are not kept any more, or the name is another table's; detail says from where it can be read, hint how to start over"},
		{lake.CodePreconditionFailed, http.StatusPreconditionFailed, "The dataset is not as expected", "If-Match names another state"},
		{lake.CodeTooLarge, http.StatusRequestEntityTooLarge, "Too large", "a body, row or SQL text over its limit"},
		{lake.CodeUnsupportedMedia, http.StatusUnsupportedMediaType, "Unknown Content-Type", "the body's type is not one that the call takes"},
		{lake.CodeNotRetained, http.StatusGone, "Not kept any more", "the state or the changes are older than the retention"},
		{lake.CodeRowsInvalid, http.StatusUnprocessableEntity, "Rows do not fit", "they parse, but type, null, or columns do not fit; none was taken"},
		{lake.CodeIdempotencyReused, http.StatusUnprocessableEntity, "The Idempotency-Key was used", "it came with another request before"},
		{lake.CodeUnsupported, http.StatusUnprocessableEntity, "Not supported", "a type or feature that a dataset cannot hold"},
		{lake.CodeOverloaded, http.StatusTooManyRequests, "Too busy", "the queue is full; Retry-After says when to try again"},
		{lake.CodeRateLimited, http.StatusTooManyRequests, "The token's limit is reached", "its rate or its requests at once; Retry-After says when to try again"},
		{lake.CodePendingFull, http.StatusTooManyRequests, "Too many pending changes", "compaction is catching up; Retry-After says when to try again"},
		{lake.CodeCancelled, statusCancelled, "Cancelled", "the query or job was cancelled"},
		{lake.CodeInternal, http.StatusInternalServerError, "A defect of tarn", "please report it, with the server's log"},
		{lake.CodeDamaged, http.StatusInternalServerError, "A durable file is damaged", "it is not what was written, and is not served"},
		{lake.CodeWorkerDied, http.StatusInternalServerError, "The query killed its worker", "also on the retry; it is refused from now on"},
		{lake.CodeEngineFailed, http.StatusBadGateway, "The cluster failed", "the one that the query was handed over to"},
		{lake.CodeNotReady, http.StatusServiceUnavailable, "Not ready", "recovering, draining or catching up; try again"},
		{lake.CodeBehind, http.StatusServiceUnavailable, "Too far behind", "this server could not follow the lake for longer than max_staleness"},
		{lake.CodeUnavailable, http.StatusServiceUnavailable, "The lake is unavailable", "its store does not answer; nothing was changed"},
		{lake.CodeEngineUnavailable, http.StatusServiceUnavailable, "The cluster does not answer", "the one that the query was to be handed over to; without engine it is answered here"},
		{lake.CodeUnknownOutcome, http.StatusServiceUnavailable, "The outcome is unknown", "a retry with the same Idempotency-Key settles it"},
		{lake.CodeLocked, http.StatusServiceUnavailable, "The lake is locked", "another process holds it"},
		{lake.CodeFenced, http.StatusServiceUnavailable, "Another server took over", "this one no longer writes the lake"},
		{lake.CodeDeadline, http.StatusGatewayTimeout, "Out of time", "the query's deadline passed"},
		{lake.CodeOutOfDisk, http.StatusInsufficientStorage, "Out of disk", "nothing was changed"},
		{lake.CodeOutOfMemory, http.StatusInsufficientStorage, "Out of memory", "the query or job needs more than its limit"},
		{lake.CodeCacheFull, http.StatusInsufficientStorage, "It does not fit into the cache", "a pin beside the other pins; no pin was changed"},
	}
}

// codes looks codes up in the table; an unknown one is internal.
type codes map[lake.Code]codeInfo

func newCodes() codes {
	out := codes{}
	for _, c := range codeTable() {
		out[c.code] = c
	}
	return out
}

func (c codes) of(code lake.Code) codeInfo {
	if info, ok := c[code]; ok {
		return info
	}
	return c[lake.CodeInternal]
}

// problem renders an error. The steps that wrap it are told apart from what
// went wrong, so that a client can put them together again.
func (c codes) problem(err error) Problem {
	info := c.of(lake.CodeOf(err))
	p := Problem{
		Type: "/docs#" + string(info.code), Title: info.title, Status: info.status,
		Code: info.code, Hint: lake.HintOf(err),
	}
	var steps []string
	for {
		e, ok := err.(*lake.Error)
		if !ok || e.Step == "" {
			break
		}
		steps = append(steps, e.Step)
		if e.Msg != "" || e.Err == nil {
			err = &lake.Error{Code: e.Code, Msg: e.Msg, Err: e.Err}
			break
		}
		err = e.Err
	}
	p.Step = strings.Join(steps, ": ")
	if p.Detail = err.Error(); p.Detail == "" {
		p.Detail = info.title
	}
	return p
}

// retryAfterSeconds goes with problems that pass by themselves.
const retryAfterSeconds = "1"

// writeProblem answers with an error. The header must not have been sent.
func (a *api) writeProblem(w http.ResponseWriter, x *exchange, err error) {
	p := a.codes.problem(err)
	p.RequestID, p.QueryID, p.JobID = x.requestID, x.queryID, x.jobID
	x.err = err
	h := w.Header()
	for _, name := range []string{"Etag", "Trailer", "Content-Length", "Tarn-Read-Points", "Tarn-Served-From", "Tarn-Engine", "Tarn-Result-Cache", "Tarn-Store"} {
		h.Del(name)
	}
	if p.Status == http.StatusTooManyRequests || p.Status == http.StatusServiceUnavailable {
		h.Set("Retry-After", cmp.Or(x.retryAfter, retryAfterSeconds))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", x.challenge())
	}
	if x.mount != nil {
		x.mount.Fail(w, x.request, p.Status, err)
		return
	}
	h.Set("Content-Type", mediaProblem)
	body, merr := json.Marshal(p)
	if merr != nil { // strings and numbers only
		panic(merr)
	}
	w.WriteHeader(p.Status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
}

// isCode says whether an error has one of the codes.
func isCode(err error, want ...lake.Code) bool {
	var e *lake.Error
	if !errors.As(err, &e) {
		return false
	}
	for _, c := range want {
		if e.Code == c {
			return true
		}
	}
	return false
}
