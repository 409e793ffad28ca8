//go:build duckdb_arrow

package duck

import (
	"context"
	"encoding/json"
	"errors"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"tarn/internal/lake"
)

// Fatal is in the chain of an error after which the instance cannot be trusted:
// DuckDB has found a defect of its own or has invalidated the database, as it does
// where memory ends within a CHECKPOINT. The process that holds it must be replaced.
type Fatal struct{ Message string }

func (f *Fatal) Error() string { return f.Message }

// IsFatal says whether an error ends the instance.
func IsFatal(err error) bool {
	var f *Fatal
	return errors.As(err, &f)
}

// codeOfKind maps the words before "Error:" in DuckDB's messages. What is not
// listed is the query's own fault: Parser, Binder, Catalog, Conversion, Out of
// Range, Invalid Input, Not implemented and the like.
var codeOfKind = map[string]lake.Code{
	"Out of Memory":      lake.CodeOutOfMemory,
	"IO":                 lake.CodeUnavailable,
	"Permission":         lake.CodeSQLRefused,
	"HTTP":               lake.CodeSQLRefused,
	"Network":            lake.CodeSQLRefused,
	"Transaction":        lake.CodeInternal,
	"TransactionContext": lake.CodeInternal,
	"Connection":         lake.CodeInternal,
	"Serialization":      lake.CodeInternal,
	"Scheduler":          lake.CodeInternal,
}

// codeOfText catches what DuckDB says with too general a kind. The first that
// the message holds decides.
var codeOfText = []struct {
	text string
	code lake.Code
	hint string
}{
	{"No space left on device", lake.CodeOutOfDisk, "free some disk, or narrow the query"},
	{"configuration has been locked", lake.CodeSQLRefused, ""},
	{"disabled by configuration", lake.CodeSQLRefused, ""},
	{"std::bad_alloc", lake.CodeOutOfMemory, outOfMemoryHint},
	{"Allocation failure", lake.CodeOutOfMemory, outOfMemoryHint},
	// A statement that runs out of memory where DuckDB parses or binds it is of that kind.
	{"failed to allocate data of size", lake.CodeOutOfMemory, outOfMemoryHint},
	{"could not allocate block of size", lake.CodeOutOfMemory, outOfMemoryHint},
	{"failed to pin block of size", lake.CodeOutOfMemory, outOfMemoryHint},
	{"not enough memory", lake.CodeOutOfMemory, outOfMemoryHint}, // of zstd, in a spilled block
}

const outOfMemoryHint = "narrow the query (fewer rows, fewer columns, fewer groups) or give the server more memory"

var errorKind = regexp.MustCompile(`^([A-Za-z][A-Za-z ]*?) Error: `)

// failure makes a *lake.Error of a message of DuckDB. ctx is the context of the
// statement: an interrupt is reported as its end.
func (db *DB) failure(ctx context.Context, message string) error {
	message = db.paths.clean(inWords(message))
	kind := ""
	if m := errorKind.FindStringSubmatch(message); m != nil {
		kind = m[1]
	}
	switch {
	case kind == "INTERRUPT", ctx.Err() != nil && strings.Contains(message, "Interrupted!"):
		return ended(ctx)
	case kind == "FATAL", kind == "INTERNAL", strings.Contains(message, "has been invalidated"):
		message, _, _ = strings.Cut(message, "\n\nStack Trace:")
		return lake.Errorf(lake.CodeInternal, "DuckDB: %w", &Fatal{message})
	}
	for _, t := range codeOfText {
		if strings.Contains(message, t.text) {
			return withoutAdvice(&lake.Error{Code: t.code, Msg: message, Hint: t.hint})
		}
	}
	code, ok := codeOfKind[kind]
	switch {
	case kind == "":
		code = lake.CodeInternal
	case !ok:
		code = lake.CodeSQLInvalid
	}
	return withoutAdvice(&lake.Error{Code: code, Msg: message})
}

// withoutAdvice takes out of an error for want of memory what DuckDB advises, settings
// that only the server can change, and gives a hint of ours.
func withoutAdvice(e *lake.Error) error {
	if e.Code == lake.CodeOutOfMemory {
		e.Msg, _, _ = strings.Cut(e.Msg, "\n")
		e.Hint = outOfMemoryHint
	}
	return e
}

// inWords gives a message as DuckDB words it where it comes as the JSON of an
// exception.
func inWords(message string) string {
	var raw struct {
		Type    string `json:"exception_type"`
		Message string `json:"exception_message"`
	}
	if !strings.HasPrefix(message, "{") || json.Unmarshal([]byte(message), &raw) != nil || raw.Type == "" {
		return message
	}
	return raw.Type + " Error: " + raw.Message
}

// ended is the error of a statement whose context is over. Without that, a closing
// connection has interrupted it, or it has failed: of a stream DuckDB 1.5 now and then
// says that it was interrupted where one thread met an error and ended the others, and
// nothing tells the error any more.
func ended(ctx context.Context) error {
	if ctx.Err() == nil {
		return lake.Errorf(lake.CodeCancelled, "the query was ended within DuckDB: it failed, and DuckDB does not say of what, or its worker was closed").
			WithHint("ask again: mostly it says so then")
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return lake.Errorf(lake.CodeDeadline, "the query's time was up: %w", context.DeadlineExceeded).
			WithHint("narrow the query or ask for a longer timeout")
	}
	return lake.Errorf(lake.CodeCancelled, "the query was cancelled: %w", context.Canceled)
}

// pathCleaner takes the paths of an instance out of texts: of a file below one
// of its folders only the last element is left.
type pathCleaner struct{ pattern *regexp.Regexp }

func newPathCleaner(folders []string) pathCleaner {
	var roots []string
	for _, f := range folders {
		if f == "" {
			continue
		}
		f = filepath.Clean(abs(f))
		roots = append(roots, f)
		if real, err := filepath.EvalSymlinks(f); err == nil {
			roots = append(roots, real)
		}
	}
	roots = slices.DeleteFunc(roots, func(r string) bool { return r == "/" })
	if len(roots) == 0 {
		return pathCleaner{}
	}
	slices.SortFunc(roots, func(a, b string) int { return len(b) - len(a) }) // the longest match wins
	for i, r := range roots {
		roots[i] = regexp.QuoteMeta(r)
	}
	return pathCleaner{regexp.MustCompile(`(?:` + strings.Join(roots, "|") + `)(/[^\s"'(),;\[\]]*)?`)}
}

func (p pathCleaner) clean(s string) string {
	if p.pattern == nil {
		return s
	}
	return p.pattern.ReplaceAllStringFunc(s, func(file string) string { return path.Base(file) })
}
