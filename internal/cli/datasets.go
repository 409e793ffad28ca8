package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"tarn/internal/engine"
)

type datasetsCommand struct {
	Name   *datasetName `arg:"" optional:"" help:"Describe this dataset; without, list all."`
	Output string       `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (c *datasetsCommand) Run(ctx context.Context, p *Program) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		if c.Name != nil {
			about, err := d.Describe(ctx, c.Name.Name)
			if err != nil {
				return err
			}
			if c.Output == "json" {
				return writeJSON(p.Stdout, about)
			}
			return writeDescription(p.Stdout, about, width(p.Stdout))
		}
		all, err := d.Datasets(ctx)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return writeJSON(p.Stdout, all)
		}
		if len(all) == 0 {
			_, err := fmt.Fprintf(p.Stdout, "no datasets in %s yet\n", d.Where)
			return err
		}
		writeList(p.Stdout, all, width(p.Stdout))
		return nil
	})
}

func writeJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func writeList(w io.Writer, all []engine.Description, width int) {
	t := newTable(w, width)
	t.AppendHeader(table.Row{"dataset", "rows", "primary key", "files", "size", "pending", "sequence"})
	rightAligned(t, 2, 4, 5, 6, 7)
	for _, d := range all {
		t.AppendRow(table.Row{d.Dataset, count(d.Rows), keyText(d), count(int64(d.Files)), bytesShown(d.Bytes), count(d.PendingRows), d.ReadPoint.Sequence})
	}
	t.Render()
}

func rightAligned(t table.Writer, columns ...int) {
	var configs []table.ColumnConfig
	for _, n := range columns {
		configs = append(configs, table.ColumnConfig{Number: n, Align: text.AlignRight, AlignHeader: text.AlignRight})
	}
	t.SetColumnConfigs(configs)
}

func keyText(d engine.Description) string {
	if len(d.PrimaryKey) == 0 {
		return "none"
	}
	return shown(strings.Join(d.PrimaryKey, ", "))
}

func writeDescription(w io.Writer, d engine.Description, width int) error {
	snapshot := "none yet"
	if d.ReadPoint.Snapshot != nil {
		snapshot = *d.ReadPoint.Snapshot
	}
	lines := [][2]string{
		{"dataset", d.Dataset},
		{"primary key", keyText(d)},
		{"rows", count(d.Rows)},
		{"base", fmt.Sprintf("%s rows in %s files, %s", count(d.BaseRows), count(int64(d.Files)), bytesShown(d.Bytes))},
		{"pending", fmt.Sprintf("%s changes in %s deltas, %s", count(d.PendingRows), count(int64(d.PendingDeltas)), bytesShown(d.PendingBytes))},
		{"sequence", fmt.Sprintf("%d, folded through %d", d.ReadPoint.Sequence, d.FoldedThrough)},
		{"table uuid", d.ReadPoint.TableUUID},
		{"format", fmt.Sprintf("Iceberg version %d", d.FormatVersion)},
		{"snapshot", snapshot},
	}
	if a := d.Attached; a != nil {
		lines = append(lines, [2]string{"attached", fmt.Sprintf("to %s, at its %s", shown(a.Source), theirSnapshot(*a))})
	}
	for _, line := range lines {
		if _, err := fmt.Fprintf(w, "%-12s %s\n", line[0], line[1]); err != nil {
			return err
		}
	}
	t := newTable(w, width)
	t.AppendHeader(table.Row{"column", "type", "null"})
	for _, c := range d.Columns {
		null := "no"
		if c.Nullable {
			null = "yes"
		}
		t.AppendRow(table.Row{shown(c.Name), shown(c.Type), null})
	}
	t.Render()
	return nil
}
