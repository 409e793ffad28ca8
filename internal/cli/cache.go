package cli

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"

	"tarn/internal/engine"
	"tarn/internal/lake"
)

type cacheCommand struct {
	Stats cacheStatsCommand `cmd:"" help:"Show the budget and what is in memory."`
	Pin   cachePinCommand   `cmd:"" help:"Keep a dataset in memory."`
	Unpin cacheUnpinCommand `cmd:"" help:"Let a dataset leave memory when others need its room."`
	Evict cacheEvictCommand `cmd:"" help:"Take a dataset out of memory."`
}

func (*cacheCommand) Help() string {
	return `Datasets in use are held in memory, under the budget of --cache-size; the least recently used goes first. A pinned one stays, also over restarts.

Examples:

  tarn cache stats
  tarn cache pin trips
  tarn cache evict --all`
}

type cacheStatsCommand struct {
	Output string `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (c *cacheStatsCommand) Run(ctx context.Context, p *Program) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		s, err := d.CacheStats(ctx)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return writeJSON(p.Stdout, s)
		}
		return writeCache(p.Stdout, s, width(p.Stdout))
	})
}

// cacheVerb is what pin and unpin have in common.
type cacheVerb struct {
	Name   datasetName `arg:"" help:"The dataset."`
	Output string      `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (c *cacheVerb) run(ctx context.Context, p *Program, do func(lakeDoor) (engine.CacheEntry, error)) error {
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		e, err := do(d)
		if err != nil {
			return err
		}
		return writeEntry(p.Stdout, e, c.Output, width(p.Stdout))
	})
}

type cachePinCommand struct {
	cacheVerb `embed:""`
}

func (*cachePinCommand) Help() string {
	return `Answers when the dataset is loaded. Datasets that are not pinned make room for it; where it does not fit beside the other pins, nothing changes. Without a server running, the pin is noted and holds from its next start.`
}

func (c *cachePinCommand) Run(ctx context.Context, p *Program) error {
	return c.run(ctx, p, func(d lakeDoor) (engine.CacheEntry, error) { return d.CachePin(ctx, c.Name.Name) })
}

type cacheUnpinCommand struct {
	cacheVerb `embed:""`
}

func (c *cacheUnpinCommand) Run(ctx context.Context, p *Program) error {
	return c.run(ctx, p, func(d lakeDoor) (engine.CacheEntry, error) { return d.CacheUnpin(ctx, c.Name.Name) })
}

type cacheEvictCommand struct {
	Name   *datasetName `arg:"" optional:"" help:"The dataset; it is unpinned too."`
	All    bool         `help:"All datasets that are not pinned."`
	Pinned bool         `help:"With --all: the pinned ones too, and unpin them."`
	Output string       `short:"o" enum:"table,json" default:"table" placeholder:"FORMAT" help:"${enum}."`

	clientFlags `embed:""`
}

func (*cacheEvictCommand) Help() string {
	return `The next use of a dataset may load it again.

Examples:

  tarn cache evict trips
  tarn cache evict --all --pinned`
}

func (c *cacheEvictCommand) Run(ctx context.Context, p *Program) error {
	switch {
	case c.All == (c.Name != nil):
		return usagef("name a dataset, or say --all")
	case c.Pinned && !c.All:
		return usagef("--pinned goes with --all: evicting one dataset unpins it too")
	}
	return c.withLake(ctx, p, lakeExists, func(d lakeDoor) error {
		if !c.All {
			e, err := d.CacheEvict(ctx, c.Name.Name)
			if err != nil {
				return err
			}
			return writeEntry(p.Stdout, e, c.Output, width(p.Stdout))
		}
		all, err := d.CacheEvictAll(ctx, c.Pinned)
		if err != nil {
			return err
		}
		if c.Output == "json" {
			return writeJSON(p.Stdout, all)
		}
		writeEntries(p.Stdout, all, width(p.Stdout))
		return nil
	})
}

func writeEntry(w io.Writer, e engine.CacheEntry, output string, width int) error {
	if output == "json" {
		return writeJSON(w, e)
	}
	writeEntries(w, []engine.CacheEntry{e}, width)
	return nil
}

// writeCache shows a bar of the budget over the datasets.
func writeCache(w io.Writer, s engine.CacheStats, width int) error {
	share := 0.0
	if s.BudgetBytes > 0 {
		share = min(1, float64(s.UsedBytes)/float64(s.BudgetBytes))
	}
	rate := ""
	if n := s.Hits + s.Misses; n > 0 {
		rate = fmt.Sprintf(" (%.0f%%)", 100*float64(s.Hits)/float64(n))
	}
	_, err := fmt.Fprintf(w, "%s %s of %s used; %s hits%s, %s misses, %s loads, %s evictions\n", drawBar(share), bytesShown(s.UsedBytes), bytesShown(s.BudgetBytes),
		count(s.Hits), rate, count(s.Misses), count(s.Loads), count(s.Evictions))
	if r := s.Results; err == nil && r.BudgetBytes > 0 {
		held := ""
		if r.HeldRows > 0 {
			held = fmt.Sprintf("; %s rows held, which gave %s of them", count(r.HeldRows), count(r.HeldHits))
		}
		_, err = fmt.Fprintf(w, "answers given again: %s, %s kept in %s of %s%s\n", count(r.Hits), count(int64(r.Entries)), bytesShown(r.UsedBytes), bytesShown(r.BudgetBytes), held)
	}
	if d := s.Disk; err == nil && d != nil {
		down := ""
		if d.StoreDown {
			down = "; the bucket does not answer"
		}
		_, err = fmt.Fprintf(w, "disk cache: %s of %s used by %s files, %s held; %s hits, %s misses, %s fetched, %s evictions%s\n",
			bytesShown(d.UsedBytes), bytesShown(d.BudgetBytes), count(int64(d.Files)), bytesShown(d.HeldBytes),
			count(d.Hits), count(d.Misses), bytesShown(d.FilledBytes), count(d.Evictions), down)
	}
	writeEntries(w, s.Datasets, width)
	return err
}

func writeEntries(w io.Writer, entries []engine.CacheEntry, width int) {
	t := newTable(w, width)
	t.AppendHeader(table.Row{"dataset", "state", "rows", "size", "hits", "last used", "sequence"})
	rightAligned(t, 3, 4, 5, 7)
	for _, e := range entries {
		t.AppendRow(table.Row{e.Dataset, stateText(e), ifHot(e, count(e.Rows)), ifHot(e, bytesShown(e.Bytes)), count(e.Hits), agoText(e.LastUsed, time.Now()), sequenceText(e.ReadPoint)})
	}
	t.Render()
}

// stateText is a state as the table has it: "pinned, not loaded: reason".
func stateText(e engine.CacheEntry) string {
	state := e.State
	if state == "not_loaded" {
		state = "not loaded: " + shown(e.Reason)
	}
	if e.Pinned {
		return "pinned, " + state
	}
	return state
}

func ifHot(e engine.CacheEntry, text string) string {
	if e.LoadedAt == nil {
		return ""
	}
	return text
}

func sequenceText(p *lake.ReadPoint) string {
	if p == nil {
		return ""
	}
	return fmt.Sprint(p.Sequence)
}

// agoText says how long ago something was, in its largest unit.
func agoText(at *time.Time, now time.Time) string {
	if at == nil {
		return ""
	}
	d := max(0, now.Sub(*at))
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s ago", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h ago", int(d.Hours()))
	}
	return fmt.Sprintf("%d days ago", int(d.Hours()/24))
}
