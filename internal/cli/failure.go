package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tarn/internal/lake"
)

// The program's exit codes.
const (
	exitDone    = 0
	exitFailure = 1
	exitUsage   = 2
)

// usageError is a command line that makes no sense as it stands.
type usageError struct {
	err  error
	hint string
}

func (e *usageError) Error() string { return e.err.Error() }
func (e *usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) *usageError {
	return &usageError{err: fmt.Errorf(format, args...)}
}

func (e *usageError) withHint(format string, args ...any) *usageError {
	e.hint = fmt.Sprintf(format, args...)
	return e
}

// quietError ends the program with exit code 1 and says nothing: what is wrong
// was already shown.
type quietError struct{}

func (quietError) Error() string { return "failed" }

// report writes an error in one line and gives the exit code:
//
//	tarn: import timesheets: key 17 appears twice (key_conflict); pass --on-duplicate last to keep the last row
func report(w io.Writer, err error) int {
	var usage *usageError
	var quiet quietError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &quiet):
		return exitFailure
	case errors.As(err, &usage):
		line := "tarn: " + oneLine(usage.Error())
		if usage.hint != "" {
			line += "; " + oneLine(usage.hint)
		}
		fmt.Fprintln(w, line)
		return exitUsage
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "tarn: cancelled")
		return exitFailure
	}
	line := "tarn: " + oneLine(err.Error())
	// An error without a code is one of this machine (a file, a connection) and
	// says itself what it is; "internal" is for what the lake calls so.
	var coded *lake.Error
	if errors.As(err, &coded) {
		line += fmt.Sprintf(" (%s)", lake.CodeOf(err))
	}
	if hint := lake.HintOf(err); hint != "" {
		line += "; " + oneLine(hint)
	}
	fmt.Fprintln(w, line)
	return exitFailure
}

// oneLine joins the lines of a text; DuckDB points at SQL over several.
func oneLine(s string) string {
	return strings.Join(strings.Fields(s), " ")
}
