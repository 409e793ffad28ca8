package cli

import (
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
)

// lakeFlags say which lake on this machine, and with what settings it is opened.
type lakeFlags struct {
	Data      string   `group:"where" setting:"" default:"./tarn-data" placeholder:"DIR" help:"The lake's folder, or a bucket: s3://bucket/prefix, gs://…, azblob://…"`
	State     string   `group:"where" setting:"" placeholder:"DIR" help:"This machine's own files: scratch, what was verified; by default DATA/state. Needed for a bucket."`
	Endpoint  string   `group:"where" setting:"" placeholder:"URL" help:"Of an S3 store that is not AWS."`
	Region    string   `group:"where" setting:"" placeholder:"NAME" help:"Of an S3 bucket; by default as the AWS environment or profile has it."`
	PathStyle bool     `group:"where" setting:"" help:"Call an S3 bucket by path, endpoint/bucket, as many stores that are not AWS want."`
	Config    string   `group:"where" setting:"" placeholder:"FILE" help:"Settings in YAML, a 'name: value' a line; by default tarn.yaml where it is there."`
	LogLevel  string   `group:"where" setting:"" enum:"debug,info,warn,error" default:"${logLevel}" placeholder:"LEVEL" help:"Least level that is logged: debug, info, warn, error."`
	Settings  settings `embed:""`
}

// options are what the engine opens the lake with.
func (f *lakeFlags) options(p *Program, log *slog.Logger) engine.Options {
	o := engine.Options{
		Data: f.Data, State: f.State, MemoryBytes: p.Memory,
		Bucket:   engine.Bucket{Endpoint: f.Endpoint, Region: f.Region, PathStyle: f.PathStyle},
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
func (f *lakeFlags) exists(ctx context.Context, o engine.Options) error {
	if bucket.IsURL(f.Data) {
		there, err := engine.LakeExists(ctx, o)
		if err == nil && !there {
			err = f.noLake()
		}
		return err
	}
	_, err := os.Stat(filepath.Join(f.Data, "catalog"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return f.noLake()
	case err != nil:
		return lake.Errorf(lake.CodeUnavailable, "look for the lake: %w", err)
	}
	return nil
}

func (f *lakeFlags) noLake() error {
	return lake.Errorf(lake.CodeNotFound, "there is no lake in %s", f.Data).
		WithHint("name one with --data, or make it: tarn import, tarn create or tarn serve")
}

// holder says which process of this machine has the lake open: the lock of a folder
// says so, and of a bucket that of the state folder.
func (f *lakeFlags) holder() (h store.Holder, held bool, err error) {
	dir := f.Data
	if bucket.IsURL(f.Data) {
		if dir = f.State; dir == "" || !engine.StateIsOf(dir, f.Data) {
			return h, false, nil
		}
	}
	return store.ReadHolder(dir)
}
