package serving

import (
	"context"
	"errors"
	"time"
)

// checkpointer runs CHECKPOINT on our own schedule: tails churn, and without it
// deleted rows stay in memory and in every scan. It blocks commits but no read,
// and there is one committer, the publisher, which runs it between two steps.
// While a reader that began before the last change of a view is still open,
// DuckDB refuses it; then it is tried again, less and less often.
type checkpointer struct {
	steps, rows int64 // since the last one that went through
	began       time.Time
	wait        time.Duration
	next        time.Time
	short       time.Time // since when there is too little memory for one; zero: there is enough
}

// A checkpoint is due after so many steps or changed rows, and soon after the
// last step in any case, since tables that were appended to hold a block for
// each of their columns until then. It takes about 8 ms.
const (
	checkpointSteps = 50
	checkpointRows  = 5000
	checkpointIdle  = time.Second
	checkpointRetry = 50 * time.Millisecond
	checkpointSlow  = 5 * time.Second
)

// checkpointPatience is how long a CHECKPOINT is put off for want of memory. Where it
// fails for that, DuckDB gives the database up and the worker has to be replaced; but
// what changes leave behind takes memory too.
const checkpointPatience = 30 * time.Second

var errShortOfMemory = errors.New("queries have too much of the memory")

// room fails, for a while, where queries have more than half of the memory that they
// share with CHECKPOINT.
func (c *checkpointer) room(ctx context.Context, p *publisher) error {
	if p.memoryBytes <= 0 {
		return nil
	}
	rows, err := p.conn.Rows(ctx, "SELECT coalesce(sum(memory_usage_bytes), 0)::BIGINT FROM duckdb_memory()")
	if err != nil {
		return err
	}
	working := p.memoryBytes - p.ledger.budget // images have the rest
	if p.memoryBytes-rows[0][0].(int64) >= working/2 {
		c.short = time.Time{}
		return nil
	}
	if c.short.IsZero() {
		c.short = time.Now()
	}
	if time.Since(c.short) > checkpointPatience {
		return nil
	}
	return errShortOfMemory
}

func (c *checkpointer) changed(rows int64) { c.rows += rows }

func (c *checkpointer) stepped() {
	if c.steps++; c.steps == 1 {
		c.began = time.Now()
	}
}

// at says when the next one is to run; ok is false when nothing changed.
func (c *checkpointer) at() (at time.Time, ok bool) {
	if c.steps == 0 {
		return at, false
	}
	if c.steps < checkpointSteps && c.rows < checkpointRows {
		at = c.began.Add(checkpointIdle)
	}
	if at.Before(c.next) {
		at = c.next
	}
	return at, true
}

func (c *checkpointer) run(ctx context.Context, p *publisher) {
	at, ok := c.at()
	if !ok || time.Now().Before(at) || ctx.Err() != nil {
		return
	}
	if err := c.force(ctx, p); err != nil {
		c.wait = min(max(2*c.wait, checkpointRetry), checkpointSlow)
		c.next = time.Now().Add(c.wait)
		p.log.Debug("checkpoint put off", "again_in", c.wait, "error", err)
		return
	}
	p.post()
}

// force runs a CHECKPOINT now and books what it compressed. Who calls it posts, once
// what turned out too large is gone.
func (c *checkpointer) force(ctx context.Context, p *publisher) error {
	if err := p.account(ctx, true); err != nil {
		p.broken(err)
		return err
	}
	if err := c.room(ctx, p); err != nil {
		p.broken(err)
		return err
	}
	if err := p.conn.Exec(ctx, "CHECKPOINT "+catalogName); err != nil {
		p.broken(err)
		return err
	}
	*c = checkpointer{}
	p.ledger.release(p.readers.oldestTicket())
	n, err := measureTables(ctx, p.conn)
	if err != nil {
		p.broken(err)
		return err
	}
	p.ledger.settle(n, p.living(), true)
	p.closed()
	p.lookAt = time.Now().Add(checkpointIdle)
	return nil
}

// closed notes that no table holds blocks of its own for appends.
func (p *publisher) closed() {
	p.ledger.list = false
	for _, m := range p.living() {
		m.opened = false
	}
	for _, d := range p.datasets {
		d.tail.opened = false
	}
}
