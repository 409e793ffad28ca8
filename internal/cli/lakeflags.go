package cli

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

// lakeFlags say which lake on this machine, and with what settings it is opened.
type lakeFlags struct {
	Data     string   `group:"where" setting:"" default:"./tarn-data" placeholder:"DIR" help:"The lake's folder."`
	State    string   `group:"where" setting:"" placeholder:"DIR" help:"This machine's own files: scratch, what was verified; by default DATA/state."`
	Config   string   `group:"where" setting:"" placeholder:"FILE" help:"Settings in YAML, a 'name: value' a line; by default tarn.yaml where it is there."`
	LogLevel string   `group:"where" setting:"" enum:"debug,info,warn,error" default:"${logLevel}" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn, error."`
	Settings settings `embed:""`
}

// options are what the engine opens the lake with.
func (f *lakeFlags) options(p *Program, log *slog.Logger) engine.Options {
	o := engine.Options{
		Data: f.Data, State: f.State, MemoryBytes: p.Memory,
		Settings: f.Settings.over(engine.Defaults(p.Memory)), Log: log,
	}
	if p.Self != nil {
		o.WorkerCommand = append(append([]string{}, p.Self...), "worker")
		o.JobCommand = append(append([]string{}, p.Self...), "job")
	}
	return o
}

// exists says whether there is a lake in the folder, so that a question to a
// misspelt one does not make a new lake.
func (f *lakeFlags) exists() error {
	_, err := os.Stat(filepath.Join(f.Data, "catalog"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return lake.Errorf(lake.CodeNotFound, "there is no lake in %s", f.Data).
			WithHint("name one with --data, or make it: tarn import, tarn create or tarn serve")
	case err != nil:
		return lake.Errorf(lake.CodeUnavailable, "look for the lake: %w", err)
	}
	return nil
}
