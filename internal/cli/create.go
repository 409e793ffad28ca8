package cli

import (
	"context"
	"fmt"
	"strings"

	"tarn/internal/client"
)

type createCommand struct {
	Name          datasetName `arg:"" help:"The dataset: [namespace.]name."`
	Column        []string    `required:"" sep:"none" placeholder:"'NAME TYPE'" help:"A column and its type in DuckDB's spelling, NOT NULL after it where that is meant; may be repeated."`
	PrimaryKey    []string    `placeholder:"COLUMN" help:"Columns that identify a row; without, rows can be added, and changed by SQL alone."`
	FormatVersion int         `placeholder:"N" help:"Of the Iceberg table: 2, or 3 with deletion vectors."`

	clientFlags `embed:""`
}

func (*createCommand) Help() string {
	return `Examples:

  tarn create trips --column "trip_id BIGINT" --column "fare DECIMAL(10,2)" --primary-key trip_id
  tarn create notes --column "at TIMESTAMP NOT NULL" --column "tags VARCHAR[]"`
}

func (c *createCommand) Run(ctx context.Context, p *Program) error {
	columns := make([]client.Column, len(c.Column))
	for i, text := range c.Column {
		var err error
		if columns[i], err = parseColumn("--column", text); err != nil {
			return err
		}
	}
	return c.withLake(ctx, p, lakeMade, func(d lakeDoor) error {
		about, err := d.Create(ctx, c.Name.Name, client.Definition{Columns: columns, PrimaryKey: c.PrimaryKey, FormatVersion: c.FormatVersion}, "")
		if err != nil {
			return err
		}
		return writeDescription(p.Stdout, about, width(p.Stdout))
	})
}

// parseColumn reads `name TYPE [NOT NULL]` of a flag; a name with spaces stands in double
// quotes, doubled within.
func parseColumn(flag, text string) (client.Column, error) {
	bad := usagef("%s %q: a name and a type are needed", flag, text).withHint(`such as %s "fare DECIMAL(10,2)"`, flag)
	rest := strings.TrimSpace(text)
	var c client.Column
	if quoted, ok := strings.CutPrefix(rest, `"`); ok {
		end := 0
		for end < len(quoted) && (quoted[end] != '"' || strings.HasPrefix(quoted[end:], `""`)) {
			if quoted[end] == '"' {
				end++
			}
			end++
		}
		if end >= len(quoted) {
			return c, usagef("%s %q: the quote is not closed", flag, text)
		}
		c.Name, rest = strings.ReplaceAll(quoted[:end], `""`, `"`), quoted[end+1:]
	} else {
		at := strings.IndexAny(rest, " \t\n")
		if at < 0 {
			return c, bad
		}
		c.Name, rest = rest[:at], rest[at:]
	}
	words := strings.Fields(rest)
	if n := len(words); n >= 2 && strings.EqualFold(words[n-2], "not") && strings.EqualFold(words[n-1], "null") {
		no := false
		c.Nullable, words = &no, words[:n-2]
	}
	if len(words) == 0 || c.Name == "" {
		return c, bad
	}
	c.Type = strings.Join(words, " ")
	return c, nil
}

type renameCommand struct {
	Name datasetName `arg:"" help:"The dataset: [namespace.]name."`
	To   datasetName `arg:"" help:"Its new name: [namespace.]name."`

	clientFlags `embed:""`
}

func (c *renameCommand) Run(ctx context.Context, p *Program) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		about, err := d.Rename(ctx, c.Name.Name, c.To.Name, "")
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.Stdout, "%s is now %s\n", c.Name, about.Dataset)
		return err
	})
}

type dropCommand struct {
	Name datasetName `arg:"" help:"The dataset: [namespace.]name."`

	clientFlags `embed:""`
}

func (c *dropCommand) Run(ctx context.Context, p *Program) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		if err := d.Drop(ctx, c.Name.Name, ""); err != nil {
			return err
		}
		_, err := fmt.Fprintf(p.Stdout, "%s is dropped\n", c.Name)
		return err
	})
}
