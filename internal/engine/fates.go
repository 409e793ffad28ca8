package engine

import (
	"context"

	"golang.org/x/sync/errgroup"

	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/lake"
)

// settleTransactions finds out what became of the transactions whose deltas are kept, as
// the lake is opened: nobody else can create a delta any more. The deltas of those that
// were aborted become void, and what is missing of them is taken by empty deltas
// (docs/design/transactions.md).
func (e *Engine) settleTransactions(ctx context.Context) error {
	judge := e.judge(e.shop.Catalog.Current().Transactions)
	void := map[*member]map[int64]bool{}
	fill := map[lake.TransactionDelta]bool{}
	for _, m := range e.mu.byUUID {
		for _, d := range m.ds.State().Deltas {
			if d.Transaction == nil {
				continue
			}
			fate, missing := judge.Fate(d.Transaction)
			if fate == dataset.Committed {
				continue
			}
			for _, at := range missing {
				fill[at] = true
			}
			if void[m] == nil {
				void[m] = map[int64]bool{}
			}
			void[m][d.Sequence] = true
			e.log.Warn("a transaction had not gone in whole; it counts as if it had not been", "dataset", m.ds.State().Name.String(), "sequence", d.Sequence)
		}
	}
	for m, sequences := range void {
		m.ds.Avoid(sequences)
	}
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(e.openLimit())
	for at := range fill {
		m := e.mu.byUUID[at.TableUUID]
		g.Go(func() error {
			s, err := e.newSealer(m)
			if err == nil {
				err = s.fillTo(gctx, at.Sequence)
			}
			return lake.Step("end a transaction that did not go in, in "+m.ds.State().Name.String(), err)
		})
	}
	err := g.Wait()
	failpoint.Hit("open.transactions-settled")
	return err
}

// judge judges by what is kept in memory.
func (e *Engine) judge(known []string) dataset.Judge {
	return dataset.Judge{
		Known: known,
		Log: func(tableUUID string) (trimmed, newest int64, ok bool) {
			m := e.mu.byUUID[tableUUID]
			if m == nil {
				return 0, 0, false
			}
			s := m.ds.State()
			return s.TrimmedThrough, s.Sequence, true
		},
		Delta: func(tableUUID string, sequence int64) *lake.Transaction {
			if d := dataset.FindDelta(e.mu.byUUID[tableUUID].ds.State().Deltas, sequence); d != nil {
				return d.Transaction
			}
			return nil
		},
	}
}

// listTransactions notes in a catalog version that is being made which committed
// transactions have deltas that are kept and others that are not any more: those nobody
// could judge by the logs.
func (e *Engine) listTransactions(next *format.Version) {
	next.Transactions = nil
	listed := map[string]bool{}
	kept := func(at lake.TransactionDelta) bool {
		entry := next.Find(at.TableUUID)
		return entry != nil && at.Sequence > entry.TrimmedThrough
	}
	for _, m := range e.members() {
		s := m.ds.State()
		for _, d := range s.Deltas {
			t := d.Transaction
			if t == nil || d.Void || listed[t.UUID] || !kept(lake.TransactionDelta{TableUUID: s.UUID, Sequence: d.Sequence}) {
				continue
			}
			for _, at := range t.Deltas {
				if !kept(at) {
					listed[t.UUID] = true
					next.Transactions = append(next.Transactions, t.UUID)
					break
				}
			}
		}
	}
}

// judgeFound finds out what became of the transactions whose deltas a follower found and
// does not show yet: those of aborted ones become void, and the keys of those that can
// still become whole are given.
func (f *follower) judgeFound(v *catalogVersion) (open map[string]bool) {
	judge := dataset.Judge{
		Known: v.Transactions,
		Log: func(tableUUID string) (trimmed, newest int64, ok bool) {
			entry := v.Find(tableUUID)
			if entry == nil {
				return 0, 0, false
			}
			return entry.TrimmedThrough, f.logs[tableUUID].log.Last(), true
		},
		Delta: func(tableUUID string, sequence int64) *lake.Transaction {
			d := dataset.FindDelta(f.logs[tableUUID].found, sequence)
			if m := f.engine.mu.byUUID[tableUUID]; d == nil && m != nil {
				d = dataset.FindDelta(m.ds.State().Deltas, sequence)
			}
			if d == nil {
				return nil
			}
			return d.Transaction
		},
	}
	open = map[string]bool{}
	for _, entry := range v.Datasets {
		found := f.logs[entry.TableUUID].found
		for i, d := range found {
			if d.Transaction == nil || d.Void || !f.cut.holds(d) {
				continue // what is beyond the cut may be of tables that came after the version
			}
			switch fate, _ := judge.Fate(d.Transaction); fate {
			case dataset.Aborted:
				found[i] = d.Avoid()
			case dataset.Undecided:
				open[d.Key] = true
			}
		}
	}
	return open
}
