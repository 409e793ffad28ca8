package serving

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"tarn/internal/lake"
)

// nameMove says, once its transaction is committed, whose view has a name; no
// uuid: nobody's.
type nameMove struct {
	name lake.Name
	uuid string
}

// reshow makes names, views and read points in the transaction what they are
// to be next. Views are dropped before any is made, so that datasets can swap
// names.
func (p *publisher) reshow(ctx context.Context, group []*dataset, next []shown) (moves []nameMove, err error) {
	var run strings.Builder
	taken := map[string]bool{}
	for i, d := range group {
		if next[i].on {
			taken[next[i].name.Key()] = true
		}
		was := d.shown
		if was.on && (!next[i].on || next[i].name != was.name) && p.holders[was.name.Key()] == d.uuid {
			run.WriteString("DROP VIEW " + viewName(was.name) + ";\n")
			moves = append(moves, nameMove{name: was.name})
		}
	}
	for i, d := range group {
		n := next[i]
		if !n.on || d.shown.on && d.shown.name == n.name && d.shown.sql == n.sql {
			continue
		}
		if !isMain(n.name) && p.spaces[strings.ToLower(n.name.Namespace)] == "" {
			run.WriteString("CREATE SCHEMA IF NOT EXISTS " + catalogName + "." + lake.QuoteIdent(n.name.Namespace) + ";\n")
		}
		run.WriteString("CREATE OR REPLACE VIEW " + viewName(n.name) + " AS " + n.sql + ";\n")
		moves = append(moves, nameMove{n.name, d.uuid})
	}
	for _, space := range p.emptySpaces(moves, taken) {
		run.WriteString("DROP SCHEMA IF EXISTS " + catalogName + "." + lake.QuoteIdent(space) + ";\n")
	}
	p.rows(&run, group, next)
	for i, d := range group {
		if was := d.shown.image; was != nil && was != next[i].image {
			run.WriteString("DROP TABLE " + internal(was.table) + ";\n")
		}
	}
	if err := p.conn.Exec(ctx, run.String()); err != nil {
		return nil, err
	}
	for _, d := range group {
		if err := d.tail.sweep(ctx, p.conn); err != nil {
			return nil, err
		}
	}
	return moves, nil
}

// rows writes what lake._tarn.datasets says of the group. Rows are deleted and
// inserted: an UPDATE would keep CHECKPOINT waiting and its memory for longer.
func (p *publisher) rows(run *strings.Builder, group []*dataset, next []shown) {
	uuids := make([]string, len(group))
	var values []string
	for i, d := range group {
		uuids[i] = lake.QuoteString(d.uuid)
		if !next[i].on {
			continue
		}
		at, snapshot := next[i].at, "NULL"
		if at.snapshot != nil {
			snapshot = lake.QuoteString(*at.snapshot)
		}
		values = append(values, fmt.Sprintf("(%s, %s, %s, %d, %s, %t, %d)", uuids[i], lake.QuoteString(at.name.Namespace),
			lake.QuoteString(at.name.Dataset), at.sequence, snapshot, at.hot, next[i].guard.version))
	}
	run.WriteString("DELETE FROM " + internal("datasets") + " WHERE table_uuid IN (" + strings.Join(uuids, ", ") + ");\n")
	if len(values) > 0 {
		run.WriteString("INSERT INTO " + internal("datasets") + " VALUES " + strings.Join(values, ", ") + ";\n")
	}
}

// datasetsTable is what a query reads first: it fixes the query's snapshot.
const datasetsTable = `(
	table_uuid VARCHAR, namespace VARCHAR, name VARCHAR,
	sequence BIGINT,  -- everything up to it shows
	snapshot VARCHAR, -- Iceberg snapshot id of the base, NULL before the first
	hot BOOLEAN,      -- served from an image
	files BIGINT      -- version of the set of files that the view reads
)`

// datasetsColumns is how many columns it has.
const datasetsColumns = 7

func viewName(n lake.Name) string { return catalogName + "." + n.SQL() }

func isMain(n lake.Name) bool { return strings.EqualFold(n.Namespace, lake.DefaultNamespace) }

// emptySpaces are the namespaces that lose their last dataset by the moves.
func (p *publisher) emptySpaces(moves []nameMove, taken map[string]bool) []string {
	lost := map[string]string{}
	for _, m := range moves {
		if m.uuid == "" && !isMain(m.name) {
			lost[strings.ToLower(m.name.Namespace)] = m.name.Namespace
		}
	}
	if len(lost) == 0 {
		return nil
	}
	after := map[string]bool{}
	for key := range p.holders {
		after[key] = true
	}
	for _, m := range moves {
		if m.uuid == "" {
			delete(after, m.name.Key())
		}
	}
	for key := range taken {
		after[key] = true
	}
	for key := range after {
		space, _, _ := strings.Cut(key, ".")
		delete(lost, space)
	}
	out := make([]string, 0, len(lost))
	for _, space := range lost {
		out = append(out, space)
	}
	return out
}

// move takes over whose names are whose.
func (p *publisher) move(moves []nameMove) {
	for _, m := range moves {
		if m.uuid == "" {
			delete(p.holders, m.name.Key())
			continue
		}
		p.holders[m.name.Key()] = m.uuid
		p.spaces[strings.ToLower(m.name.Namespace)] = m.name.Namespace
	}
	clear(p.spaces)
	for key := range p.holders {
		space, _, _ := strings.Cut(key, ".")
		p.spaces[space] = strconv.Quote(space)
	}
}
