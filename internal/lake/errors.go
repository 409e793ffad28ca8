package lake

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Code is the stable name of a kind of error. Clients match on it; the HTTP
// status and the exit code are derived from it in one place each.
type Code string

// The codes, by what a caller can do about them.
const (
	CodeInvalidRequest     Code = "invalid_request"        // the request itself does not parse: body, parameter, name
	CodeSQLInvalid         Code = "sql_invalid"            // the SQL does not parse, bind or run (a query's own fault)
	CodeSQLRefused         Code = "sql_refused"            // the gate: not served, or it reaches outside the lake
	CodeDatasetNotFound    Code = "dataset_not_found"      //
	CodeRowNotFound        Code = "row_not_found"          //
	CodeJobNotFound        Code = "job_not_found"          //
	CodeQueryNotFound      Code = "query_not_found"        //
	CodeNotFound           Code = "not_found"              // a stored object, a path
	CodeDatasetExists      Code = "dataset_exists"         //
	CodeNoPrimaryKey       Code = "no_primary_key"         // the call needs a key and the dataset has none
	CodeHasPrimaryKey      Code = "has_primary_key"        // the call is for datasets without a key
	CodeKeyMismatch        Code = "key_mismatch"           // primary_key differs from the dataset's
	CodeKeyConflict        Code = "key_conflict"           // keys double, null or existing at import or INSERT
	CodeRowsNotKept        Code = "rows_not_kept"          // a statement of RETURNING was done before under its key
	CodeSchemaChanged      Code = "schema_changed"         // the schema changed while the request waited
	CodeChangesGone        Code = "changes_gone"           // a feed cannot be resumed there: deltas were trimmed, or another table has the name
	CodePreconditionFailed Code = "precondition_failed"    // If-Match
	CodeForbidden          Code = "forbidden"              // a browser sent it for a page of another origin
	CodeUnauthorized       Code = "unauthorized"           // no token, or one that is not known
	CodeAccessDenied       Code = "access_denied"          // the token may not do this
	CodeRateLimited        Code = "rate_limited"           // the token's own limits: try again
	CodeReadOnly           Code = "read_only"              // the lake is open to be read only
	CodeMethodNotAllowed   Code = "method_not_allowed"     // the path is known, the method is not one of its
	CodeTooLarge           Code = "too_large"              // body, row or SQL over its limit
	CodeUnsupportedMedia   Code = "unsupported_media_type" // Content-Type
	CodeNotAcceptable      Code = "not_acceptable"         // Accept
	CodeRowsInvalid        Code = "rows_invalid"           // rows parse but do not fit
	CodeIdempotencyReused  Code = "idempotency_key_reused" // the key came with another request before
	CodeOverloaded         Code = "overloaded"             // a queue is full: try again
	CodePendingFull        Code = "pending_full"           // pending changes at their bound: compaction catches up
	CodeCancelled          Code = "cancelled"              // the client went away or cancelled
	CodeNotReady           Code = "not_ready"              // recovering, draining, worker catching up
	CodeNotRetained        Code = "not_retained"           // of the past, and not kept any more
	CodeBehind             Code = "behind"                 // a follower could not follow within its bound
	CodeUnavailable        Code = "unavailable"            // the lake's store does not answer
	CodeEngineUnavailable  Code = "engine_unavailable"     // a cluster that queries are handed over to does not answer
	CodeEngineFailed       Code = "engine_failed"          // such a cluster failed under the query
	CodeUnknownOutcome     Code = "unknown_outcome"        // a retry with the same Idempotency-Key settles it
	CodeDeadline           Code = "deadline_exceeded"      // a query's time was up
	CodeOutOfDisk          Code = "out_of_disk"            //
	CodeOutOfMemory        Code = "out_of_memory"          // of a query or job
	CodeCacheFull          Code = "cache_full"             // a pin does not fit beside the other pins
	CodeLocked             Code = "lake_locked"            // another process holds the lake
	CodeFenced             Code = "fenced"                 // another server took the lake over
	CodeDamaged            Code = "damaged"                // a durable file is not what was written
	CodeUnsupported        Code = "unsupported"            // a feature, type or format this build does not know
	CodeWorkerDied         Code = "worker_died"            // the worker died under the query, also on its retry
	CodeInternal           Code = "internal"               // a defect of tarn
)

// Error is an error with a code. Msg says what is wrong with which thing; Hint
// says what to do about it; Step, where set, names the step that failed.
type Error struct {
	Code Code
	Step string
	Msg  string
	Hint string
	Err  error // the cause, may be nil
}

func (e *Error) Error() string {
	var b strings.Builder
	if e.Step != "" {
		b.WriteString(e.Step)
		b.WriteString(": ")
	}
	b.WriteString(e.Msg)
	if e.Err != nil {
		if cause := e.Err.Error(); cause != "" {
			if e.Msg != "" {
				b.WriteString(": ")
			}
			b.WriteString(cause)
		}
	}
	return b.String()
}

func (e *Error) Unwrap() error { return e.Err }

// Is lets errors.Is match an *Error by its code alone:
// errors.Is(err, lake.ErrExists).
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && t.Msg == "" && t.Err == nil
}

// Kinds to match with errors.Is. They carry a code and nothing else.
var (
	ErrNotFound        = &Error{Code: CodeNotFound}
	ErrDatasetNotFound = &Error{Code: CodeDatasetNotFound}
	ErrDatasetExists   = &Error{Code: CodeDatasetExists}
	ErrUnknownOutcome  = &Error{Code: CodeUnknownOutcome}
	ErrDamaged         = &Error{Code: CodeDamaged}
	ErrFenced          = &Error{Code: CodeFenced}
	ErrLocked          = &Error{Code: CodeLocked}
	ErrUnavailable     = &Error{Code: CodeUnavailable}
	ErrNotReady        = &Error{Code: CodeNotReady}
	ErrOutOfDisk       = &Error{Code: CodeOutOfDisk}
)

// Errorf makes an *Error of a code; %w keeps the cause, as with fmt.Errorf.
func Errorf(code Code, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	return &Error{Code: code, Msg: err.Error(), Err: hidden(errors.Unwrap(err))}
}

// hidden wraps a cause that is already in the message, so that it can be
// unwrapped but is not printed twice.
func hidden(err error) error {
	if err == nil {
		return nil
	}
	return silent{err}
}

type silent struct{ error }

func (s silent) Error() string { return "" }
func (s silent) Unwrap() error { return s.error }

// WithHint adds what to do about the error, and returns it.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// CodeOf gives the code of an error: its own, that of a context's end, or
// CodeInternal.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.DeadlineExceeded):
		return CodeDeadline
	case errors.Is(err, context.Canceled):
		return CodeCancelled
	default:
		return CodeInternal
	}
}

// HintOf gives what the error says to do, or "".
func HintOf(err error) string {
	var e *Error
	for errors.As(err, &e) {
		if e.Hint != "" {
			return e.Hint
		}
		err = e.Err
		if err == nil {
			return ""
		}
	}
	return ""
}

// Step names the step that failed and keeps code, hint and cause:
// Step("compact main.timesheets: commit", err). nil stays nil.
func Step(step string, err error) error {
	if err == nil {
		return nil
	}
	return &Error{Code: CodeOf(err), Step: step, Hint: HintOf(err), Err: err}
}
