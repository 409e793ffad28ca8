package engine

import (
	"context"
	"errors"

	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/format"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// parts makes of each dataset's own changes what is to be committed: the last change of
// each key. With an Idempotency-Key every dataset gets a delta, so that the key is known.
func (x *transaction) parts(ctx context.Context, q change.Request) (parts []change.Part, err error) {
	defer func() {
		if err != nil {
			for _, p := range parts {
				if p.Request.LetGo != nil {
					p.Request.LetGo()
				}
			}
			parts = nil
		}
	}()
	// One share of the memory of bodies is for all that stays in memory: who has it
	// waits for no more of it.
	room, decoded, spool := int64(0), int64(0), x.e.set.SpoolBytes
	if err := x.e.made.Acquire(ctx, spool); err != nil {
		return nil, lake.Step("wait for the memory of other requests", err)
	}
	held := false
	defer func() {
		if !held {
			x.e.made.Release(spool)
		}
	}()
	for _, t := range x.targeted {
		if len(t.own) == 0 && q.Key == "" {
			continue
		}
		s := x.states[t.name.Key()]
		p := change.Part{Committer: t.m.committer, Request: change.Request{
			Name: t.name, UUID: t.uuid, SchemaID: s.Schema.ID, Rows: t.rows, Key: q.Key, Hash: q.Hash,
		}}
		for _, d := range t.own {
			p.Request.Bytes += d.Bytes
		}
		err := errGrows
		if room += p.Request.Bytes; room <= spool {
			var size int64
			if p.Request.Changes, size, err = x.changesOf(ctx, s, t.own, growth*spool-decoded); err == nil {
				decoded += size
			}
		}
		if errors.Is(err, errGrows) {
			room -= p.Request.Bytes
			err = x.ownByJob(ctx, s, t.own, &p.Request)
		}
		if err != nil {
			return parts, lake.Step("put together the changes of "+t.name.String(), err)
		}
		parts = append(parts, p)
	}
	if len(parts) > 0 {
		held = true
		first := &parts[0].Request
		let := first.LetGo
		first.LetGo = func() {
			x.e.made.Release(spool)
			if let != nil {
				let()
			}
		}
	}
	return parts, nil
}

// changesOf reads own changes into memory, and says how many bytes they take there. It
// fails with errGrows where that is more than most.
func (x *transaction) changesOf(ctx context.Context, s *dataset.State, own []lake.Delta, most int64) (out []format.Changes, size int64, err error) {
	for _, d := range own {
		_, err := format.OpenDelta(ctx, d.Path, s.Schema, func(c format.Changes) error {
			if size += rows.BatchBytes(c.Rows); size > most {
				return errGrows
			}
			c.Rows.Retain()
			out = append(out, c)
			return nil
		})
		if err != nil {
			return nil, 0, err
		}
	}
	return out, size, nil
}

// ownByJob lets a job make one file of large own changes.
func (x *transaction) ownByJob(ctx context.Context, s *dataset.State, own []lake.Delta, q *change.Request) error {
	op := OpUpsert
	if s.Schema.Keyed() {
		op = OpChanges
	}
	_, err := x.e.changesByJob(ctx, job.Changes{Schema: s.Schema, Op: string(op), Missing: rows.MissingError, Deltas: own}, q)
	return err
}
