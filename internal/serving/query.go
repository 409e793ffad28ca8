package serving

import (
	"context"
	"errors"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// Request is one read.
type Request struct {
	ID          string
	SQL         string
	Params      duck.Params
	See         int64 // the stream's number that the answer must contain
	MaxSQLBytes int   // 0: the gate's own
	// Trusted SQL is tarn's own and does not pass the gate; Datasets are those
	// that it reads, none: it waits for all that was heard.
	Trusted  bool
	Datasets []lake.Name
	Visible  *lake.NameSet // nil: all; others are as if they did not exist
	// Instants are the files of those that the SQL names, where the caller knows that.
	Instants []lake.InstantFiles
	// Snapshot says that these are what is read of their datasets where the SQL names them
	// as they are; others are read as they are, and there is no AT.
	Snapshot bool
	// Placed is the dataset that the SQL may name by lake.PlacedVersion.
	Placed lake.Name
	// Check asks what the gate says of the SQL, which is not run: the answer is one text,
	// the JSON of a lake.Checked.
	Check bool
}

// Query runs a read and gives its answer as a stream, which the caller closes.
// The end of ctx ends every wait and the query itself. Errors: those of the
// gate and of the SQL, CodeDatasetNotFound, CodeNotReady while a dataset is
// behind or the wait for See outlasts ctx, CodeDamaged naming a file that is
// not the one that was verified, CodeNotLocal with the table uuids of the datasets
// whose files have to be brought to this machine first, CodeInstants with the instants
// that it names and the request does not bring, CodeDeadline, CodeCancelled.
func (s *Serving) Query(ctx context.Context, req Request) (*Answer, error) {
	if err := s.ear.waitHeard(ctx, req.See); err != nil {
		return nil, err
	}
	sess, err := s.pool.get(ctx)
	if err != nil {
		return nil, err
	}
	takesMemory(ctx)
	a, err := s.answer(ctx, sess, req)
	if err != nil {
		s.pool.put(sess, sound(err))
		return nil, err
	}
	return a, nil
}

// answer plans and starts a query on a session; after an error the session has
// no transaction.
func (s *Serving) answer(ctx context.Context, sess *session, req Request) (*Answer, error) {
	if req.Trusted {
		return s.run(ctx, sess, plan{sql: req.SQL, params: req.Params, datasets: req.Datasets, whole: len(req.Datasets) == 0})
	}
	if req.Check {
		return s.sayChecked(ctx, sess, req)
	}
	if p, ok := s.pointRead(req); ok && !req.Snapshot {
		if a, err := s.run(ctx, sess, p); !errors.Is(err, errMoved) && !errors.Is(err, errReshaped) {
			return a, err
		}
	}
	p, err := s.admit(ctx, sess, req)
	if err != nil {
		return nil, err
	}
	return s.run(ctx, sess, p)
}

// plan is a query that passed the gate.
type plan struct {
	sql      string
	params   duck.Params
	datasets []lake.Name
	whole    bool // it reads the list of datasets: all that was heard must show
	// text makes of a plan what the client may see of it; nil: the answer is rows.
	text planText
	// repeatable says that another run at the same read points gives the same answer.
	repeatable bool
	grouped    *duck.Grouped // by which sql may be edited, or first; nil: it runs as it is
	first      *duck.FirstRows
	byKey      *keyRead // instead of sql
	instants   []lake.InstantFiles
	views      []string // their names in sql
}

// run starts the plan's statement. Most find the database as it is known to stand, and
// need no transaction around them, which takes longer than a short query: BEGIN, where
// the datasets stand, ROLLBACK. However often it begins, it waits for what was heard when
// it was asked, and no more: else changes that keep coming would keep it waiting.
func (s *Serving) run(ctx context.Context, sess *session, p plan) (*Answer, error) {
	heard, _ := s.ear.positions()
	if !p.whole && p.text == nil && len(p.instants) == 0 {
		a, err := s.runOver(ctx, sess, p, heard, true)
		if !errors.Is(err, duck.ErrNotAlone) {
			return a, err
		}
	}
	return s.runOver(ctx, sess, p, heard, false)
}

// runOver starts the plan's statement over a reading, for it alone or not.
func (s *Serving) runOver(ctx context.Context, sess *session, p plan, heard int64, alone bool) (*Answer, error) {
	r, err := s.begin(ctx, sess, p, heard, alone)
	if err != nil {
		return nil, err
	}
	if err := r.showInstants(ctx, p.instants, p.views); err != nil {
		r.end(ctx)
		return nil, err
	}
	if p.byKey != nil {
		if p.sql, err = p.byKey.sql(p.datasets[0], r); err != nil {
			r.end(ctx)
			return nil, err
		}
	}
	sql, edited, err := s.edited(ctx, p, r)
	var stream *duck.Stream
	if err == nil {
		stream, err = r.start(ctx, sql, p.params)
	}
	if err != nil && edited && ctx.Err() == nil && !duck.IsFatal(err) && !errors.Is(err, duck.ErrNotAlone) {
		r.end(ctx)
		p.grouped, p.first = nil, nil // its error, or answer, is that of its own text
		return s.runOver(ctx, sess, p, heard, alone)
	}
	if err != nil {
		err = r.explain(err)
		r.end(ctx)
		return nil, err
	}
	return newAnswer(s, sess, r, stream, p), nil
}

// edited gives the plan's text, changed to one of the same answer where what the
// snapshot shows allows it. Where edited is true the plan runs as it is after an error.
func (s *Serving) edited(ctx context.Context, p plan, r *reading) (sql string, edited bool, err error) {
	if sql, ok := s.recode(p, r); ok {
		return sql, true, nil
	}
	return s.bounded(ctx, p, r)
}
