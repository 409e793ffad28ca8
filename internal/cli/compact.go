package cli

import (
	"context"
	"fmt"
	"io"

	"github.com/jedib0t/go-pretty/v6/table"

	"tarn/internal/client"
	"tarn/internal/engine"
)

type compactCommand struct {
	Name       *datasetName `arg:"" optional:"" help:"The dataset; without, all of them."`
	DryRun     bool         `help:"Say what would be done and why, and do nothing."`
	PrimaryKey []string     `placeholder:"COLUMN" help:"Of a dataset without a key: remove earlier duplicates by these columns, keeping the last."`
	Output     string       `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (*compactCommand) Help() string {
	return `Pending changes become part of the base; the content stays the same. Reads and writes go on meanwhile.

Examples:

  tarn compact
  tarn compact trips --dry-run`
}

func (c *compactCommand) Run(ctx context.Context, p *Program) error {
	if len(c.PrimaryKey) > 0 && c.Name == nil {
		return usagef("--primary-key needs the name of a dataset")
	}
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		title := "compact"
		o := client.CompactOptions{PrimaryKey: c.PrimaryKey, DryRun: c.DryRun}
		if c.Name != nil {
			o.Dataset, title = &c.Name.Name, "compact "+c.Name.String()
		}
		bar := newProgress(p.Stderr, title)
		defer bar.done()
		o.Progress = bar.job
		results, err := d.Compact(ctx, o)
		if err != nil {
			return err
		}
		bar.done()
		if c.Output == "json" {
			return writeJSON(p.Stdout, results)
		}
		return writeCompactions(p.Stdout, results, width(p.Stdout))
	})
}

func writeCompactions(w io.Writer, results []engine.CompactResult, width int) error {
	t := newTable(w, width)
	t.AppendHeader(table.Row{"dataset", "base_rows", "delta_rows", "final_rows", "deltas_merged", "files rewritten", "kept", "added"})
	rightAligned(t, 2, 3, 4, 5, 6, 7, 8)
	for _, r := range results {
		final := "-"
		if r.FinalRows >= 0 {
			final = count(r.FinalRows)
		}
		t.AppendRow(table.Row{r.Dataset, count(r.BaseRows), count(r.DeltaRows), final, count(int64(r.DeltasMerged)), r.FilesRewritten, r.FilesKept, r.FilesAdded})
	}
	t.Render()
	for _, r := range results {
		if r.Reason == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "%s: %s\n", r.Dataset, shown(r.Reason)); err != nil {
			return err
		}
	}
	return nil
}
