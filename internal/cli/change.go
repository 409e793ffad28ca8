package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"tarn/internal/client"
	"tarn/internal/engine"
)

// changeFlags are what upsert and delete share.
type changeFlags struct {
	Name datasetName `arg:"" help:"The dataset: [namespace.]name."`
	File string      `arg:"" help:"A file of rows, or - for standard input (NDJSON unless --format says else)."`

	Format         string `enum:",parquet,csv,json,ndjson,arrow" default:"" placeholder:"FORMAT" help:"Format of the file: parquet, csv, json, ndjson, arrow; by default its extension says it."`
	IfMatch        string `placeholder:"ETAG" help:"Change only if the dataset still has this ETag."`
	IdempotencyKey string `placeholder:"KEY" help:"Sent again with the same key, the change is made once."`

	clientFlags `embed:""`
}

type upsertCommand struct {
	changeFlags `embed:""`
	MissingNull bool `xor:"missing" help:"A column that a row does not have is null, instead of an error."`
	MissingKeep bool `xor:"missing" help:"A column that a row does not have keeps its value; null where the key is new."`
}

func (*upsertCommand) Help() string {
	return `All rows of the file go in, or none. A row whose key exists replaces that row. Datasets without a primary key take the rows at their end.

Examples:

  tarn upsert trips fixes.csv
  echo '{"trip_id": 7, "fare": "12.50"}' | tarn upsert trips - --missing-null
  echo '{"trip_id": 7, "city": "Oslo"}' | tarn upsert trips - --missing-keep`
}

func (c *upsertCommand) Run(ctx context.Context, p *Program) error {
	return c.run(ctx, p, "taken in", func(d lakeDoor, body client.Body, o client.ChangeOptions) (engine.ChangeResult, error) {
		o.MissingNull, o.MissingKeep = c.MissingNull, c.MissingKeep
		return d.Upsert(ctx, c.Name.Name, body, o)
	})
}

type deleteCommand struct {
	changeFlags `embed:""`
}

func (*deleteCommand) Help() string {
	return `The file holds the key columns only. Keys that are not there are no error.

Examples:

  tarn delete trips gone.csv
  echo '{"trip_id": 7}' | tarn delete trips -`
}

func (c *deleteCommand) Run(ctx context.Context, p *Program) error {
	return c.run(ctx, p, "deleted", func(d lakeDoor, body client.Body, o client.ChangeOptions) (engine.ChangeResult, error) {
		return d.Delete(ctx, c.Name.Name, body, o)
	})
}

func (c *changeFlags) run(ctx context.Context, p *Program, verb string, send func(lakeDoor, client.Body, client.ChangeOptions) (engine.ChangeResult, error)) (err error) {
	body, file, err := p.changeBody(c.File, c.Format)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		began := time.Now()
		r, err := send(d, body, client.ChangeOptions{IfMatch: c.IfMatch, IdempotencyKey: c.IdempotencyKey})
		if err != nil {
			return err
		}
		what := "rows"
		if verb == "deleted" {
			what = "keys"
		}
		_, err = fmt.Fprintf(p.Stdout, "%s: %s %s %s in %s, sequence %d\n", c.Name, count(r.Rows), what, verb, elapsed(time.Since(began)), r.Sequence)
		return err
	})
}
