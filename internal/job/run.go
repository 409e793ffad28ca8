package job

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"tarn/internal/lake"
)

// Host is who a job works for.
type Host struct {
	// Report hears of progress, from the goroutine that runs the job; nil: nobody.
	Report func(Progress)
	// Threads says how many threads the job may use now, from any goroutine; nil: as
	// many as its Spec says, to the end.
	Threads func() int
}

// Run executes a job in this process and gives what it made. Errors are
// *lake.Error; after one nothing below Scratch is of use.
func Run(ctx context.Context, spec Spec, host Host) (Result, error) {
	if host.Report == nil {
		host.Report = func(Progress) {}
	}
	if err := spec.check(); err != nil {
		return Result{}, err
	}
	spec = spec.withDefaults()
	s, err := openSession(ctx, spec, host)
	if err != nil {
		return Result{}, lake.Step(string(spec.Kind), err)
	}
	res, err := s.run(ctx)
	s.close()
	if err != nil {
		return Result{}, coded(lake.Step(string(spec.Kind), err))
	}
	return res, nil
}

func (s *session) run(ctx context.Context) (Result, error) {
	switch s.spec.Kind {
	case KindImport:
		return s.runImport(ctx, *s.spec.Import)
	case KindFold:
		return s.runFold(ctx, *s.spec.Fold)
	case KindDedupe:
		return s.runDedupe(ctx, *s.spec.Dedupe)
	case KindRewrite:
		return s.runRewrite(ctx, *s.spec.Rewrite)
	case KindOverlay:
		return s.runOverlay(ctx, *s.spec.Overlay)
	case KindCheck:
		return s.runCheck(ctx, *s.spec.Check)
	case KindMarks:
		return s.runMarks(ctx, *s.spec.Marks)
	default:
		return s.runChanges(ctx, *s.spec.Changes)
	}
}

const moreMemoryHint = "nothing was changed; give jobs more memory (job_memory_bytes), or split the work"

// coded makes sure that an error says what a caller can do: SQL of a job is the
// job's own, so that its faults are never the user's.
func coded(err error) error {
	var e *lake.Error
	switch code := lake.CodeOf(err); {
	case code == lake.CodeSQLInvalid || code == lake.CodeSQLRefused:
		return &lake.Error{Code: lake.CodeInternal, Err: err}
	case code == lake.CodeOutOfMemory:
		return &lake.Error{Code: code, Err: err, Hint: moreMemoryHint}
	case errors.As(err, &e):
		return err
	default:
		return &lake.Error{Code: code, Err: err}
	}
}

// outDir makes a folder below Scratch/out.
func (s *session) outDir(name string) (string, error) {
	dir := filepath.Join(s.spec.Scratch, "out", name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", diskError("make the folder for outputs", err)
	}
	return dir, nil
}
