package cli

import (
	"context"
	"io"

	"tarn/internal/client"
)

type changesCommand struct {
	Name datasetName `arg:"" help:"The dataset: [namespace.]name."`

	Since     int64  `required:"" placeholder:"N" help:"The sequence after which to begin; 0 is all since the dataset was made."`
	Follow    bool   `help:"Go on with what is committed, until interrupted."`
	Limit     int64  `placeholder:"N" help:"End with the sequence in which so many changes are reached."`
	TableUUID string `name:"table-uuid" placeholder:"UUID" help:"The table that --since is a sequence of; another one is an error."`
	Output    string `short:"o" enum:"ndjson,arrow" default:"ndjson" placeholder:"FORMAT" help:"ndjson or arrow."`

	clientFlags `embed:""`
}

func (*changesCommand) Help() string {
	return `Every change after a sequence in order, a line each; after the changes of each sequence a line with the op commit, after which the feed can be resumed by --since. The op content says that an import or the like changed the dataset: read it anew.

Examples:

  tarn changes trips --since 0
  tarn changes trips --since 41 --follow`
}

func (c *changesCommand) Run(ctx context.Context, p *Program) error {
	if c.Output == "arrow" && isTerminal(p.Stdout) {
		return usagef("-o arrow is not text; send it to a file or a program")
	}
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		a, err := d.Feed(ctx, c.Name.Name, client.FeedOptions{
			Since: c.Since, TableUUID: c.TableUUID, Limit: c.Limit, Follow: c.Follow, Format: outputs[c.Output],
		})
		if err != nil {
			return err
		}
		// Closing an answer that was read to its end tells nothing new.
		defer a.Close()
		_, err = io.Copy(p.Stdout, a)
		return err
	})
}
