package cli

import (
	"context"
	"errors"

	"tarn/internal/demo"
	"tarn/internal/demo/staffing"
)

type demoCommand struct {
	Data    string  `placeholder:"DIR" help:"Tour your own Parquet files in DIR instead (they are only read)."`
	Lake    string  `default:"./demo-lake" placeholder:"DIR" help:"Where the tour makes its lake, anew each time."`
	Scale   float64 `default:"1" help:"Size of the made data: 1 is 2,467,000 rows."`
	Seed    uint64  `default:"${seed}" help:"Seed of the made data."`
	Writers int     `default:"8" help:"Writers of the write load that is killed."`
	Parquet string  `placeholder:"DIR" help:"Keep the made Parquet files in DIR."`
	Only    bool    `name:"only-parquet" help:"Only make the Parquet files of --parquet."`
}

func (*demoCommand) Help() string {
	return `Makes the data of a staffing agency, starts a server on a lake of its own, imports, asks, changes rows, compacts, kills the server in the middle of a write load, and compares every answer with arithmetic of its own. Exit code 1 says that a check failed.

Examples:

  tarn demo
  tarn demo --scale 0.02
  tarn demo --data ~/parquet`
}

func (c *demoCommand) Run(ctx context.Context, p *Program) error {
	switch {
	case c.Only && c.Parquet == "":
		return usagef("--only-parquet needs --parquet DIR")
	case c.Data != "" && c.Parquet != "":
		return usagef("--parquet keeps made data, and --data is your own")
	case c.Writers < 1 || c.Writers > 256:
		return usagef("--writers %d: must be 1 to 256", c.Writers)
	}
	o := demo.Options{
		Command: p.Self, Lake: c.Lake, Data: c.Data, Keep: c.Parquet,
		Seed: c.Seed, Scale: c.Scale, Writers: c.Writers, Out: p.Stdout,
	}
	if _, err := staffing.New(c.Seed, c.Scale); err != nil {
		return usagef("--%w", err)
	}
	if c.Only {
		return demo.Make(ctx, o, c.Parquet)
	}
	err := demo.Run(ctx, o)
	if errors.Is(err, demo.ErrFailed) {
		return quietError{} // the tour printed which checks
	}
	return err
}
