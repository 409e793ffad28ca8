package serving

import (
	"context"
	"errors"
	"strings"
	"time"

	"tarn/internal/duck"
	"tarn/internal/lake"
)

// reading is a snapshot of the database of which it is known where the datasets stand.
// It is the statement's own, where the database stands as it was said to; or that of a
// transaction around the statement, which reads where they stand.
type reading struct {
	s      *Serving
	sess   *session
	number int64 // as registered among the readers
	ticket int64 // likewise
	guards []*guard
	points map[string]lake.Place
	from   map[string]string
	// stood is the number of the commit as of which the datasets stand so, or inTransaction.
	stood int64
	over  bool // the statement's own snapshot is let go
}

// inTransaction is reading.stood of a snapshot that is a transaction's.
const inTransaction = -1

// begin waits until the named datasets show what was heard of them up to a number of the
// stream, checks their files, and gives a reading of exactly those files. One that is for
// the statement alone costs nothing, and fails with duck.ErrNotAlone while something is
// being committed; any other begins a transaction.
func (s *Serving) begin(ctx context.Context, sess *session, p plan, heard int64, alone bool) (*reading, error) {
	for {
		r, uuids, err := s.enter(ctx, sess, p, heard)
		if err != nil {
			return nil, err
		}
		if r != nil {
			takesMemory(ctx) // what came before was waiting
			var ok bool
			if alone {
				ok, err = r.stand(p.datasets, uuids), duck.ErrNotAlone
			} else {
				ok, err = r.fix(ctx, p.datasets, uuids)
			}
			if ok {
				r.asked(uuids)
				return r, nil
			}
			r.end(ctx)
			if err != nil {
				return nil, err
			}
		}
		select { // the publisher stands between its commit and saying so
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

// enter registers a reading of the plan's datasets, whose table uuids it gives; nil
// where one of them was dropped meanwhile.
func (s *Serving) enter(ctx context.Context, sess *session, p plan, heard int64) (_ *reading, uuids []string, err error) {
	r := &reading{s: s, sess: sess, points: map[string]lake.Place{}, from: map[string]string{}, over: true}
	if p.whole {
		if err := s.ear.waitApplied(ctx, heard); err != nil {
			return nil, nil, err
		}
	}
	// All are looked up before any is waited for: otherwise, while entries keep coming,
	// each would be waited for anew, and the first have moved on once the last is there.
	uuids = make([]string, len(p.datasets))
	last := make([]int64, len(p.datasets))
	var absent []string
	for i, name := range p.datasets {
		uuid, d, ok := s.ear.find(name)
		if !ok {
			return nil, nil, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s does not exist", name)
		}
		uuids[i], last[i] = uuid, d.awaited(heard)
	}
	for i, uuid := range uuids {
		g, err := s.ear.waitShown(ctx, uuid, last[i])
		if err != nil || g == nil {
			return nil, nil, err
		}
		if err := g.check(); lake.CodeOf(err) == lake.CodeNotLocal {
			absent = append(absent, uuid)
		} else if err != nil {
			return nil, nil, err
		}
		r.guards = append(r.guards, g)
	}
	if len(absent) > 0 { // all of them, so that they are brought together
		return nil, nil, lake.Errorf(lake.CodeNotLocal, "%s", strings.Join(absent, " "))
	}
	_, r.number = s.ear.positions()
	r.ticket = s.readers.enter(r.number)
	return r, uuids, nil
}

// standing is where a dataset stands as of a commit, as lake._tarn.datasets has it.
type standing struct {
	name     lake.Name
	sequence int64
	snapshot *string
	hot      bool
}

// note says where a dataset stands.
func (r *reading) note(uuid string, at standing) {
	from := lake.ServedFromParquet
	if at.hot {
		from = lake.ServedFromImage
	}
	name := at.name.String()
	r.points[name] = lake.Place{ReadPoint: lake.ReadPoint{TableUUID: uuid, Sequence: at.sequence}, Snapshot: at.snapshot}
	r.from[name] = from
}

// stand takes where the datasets stand as of the last commit; ok is false while
// another is under way, or has moved one of them since its guard was taken.
func (r *reading) stand(names []lake.Name, uuids []string) (ok bool) {
	places, stood, ok := r.s.ear.standing(uuids, names, r.guards)
	if !ok {
		return false
	}
	for i, at := range places {
		r.note(uuids[i], at)
	}
	r.stood = stood
	return true
}

// fix begins the transaction and reads where the datasets stand, which fixes
// the snapshot. ok is false when they moved since their guards were taken.
func (r *reading) fix(ctx context.Context, names []lake.Name, uuids []string) (ok bool, err error) {
	r.stood, r.over = inTransaction, false
	if err := r.sess.begin.Exec(ctx); err != nil {
		return false, err
	}
	quoted := make([]string, len(uuids))
	for i, u := range uuids {
		quoted[i] = lake.QuoteString(u)
	}
	// A function, as the plan is kept: see duck.Statement.
	where := "list_contains([" + strings.Join(quoted, ", ") + "]::VARCHAR[], table_uuid)"
	rows, err := r.sess.standing(ctx, where)
	if err != nil {
		return false, err
	}
	at := map[string][]any{}
	for _, row := range rows {
		at[row[0].(string)] = row
	}
	for i, uuid := range uuids {
		row := at[uuid]
		if row == nil {
			return false, nil
		}
		name := lake.Name{Namespace: row[1].(string), Dataset: row[2].(string)}
		if name.Key() != names[i].Key() || row[6].(int64) != r.guards[i].version {
			return false, nil
		}
		at := standing{name: name, sequence: row[3].(int64), hot: row[5].(bool)}
		if snapshot, ok := row[4].(string); ok {
			at.snapshot = &snapshot
		}
		r.note(uuid, at)
	}
	return true, nil
}

// asked notes that a query read the datasets.
func (r *reading) asked(uuids []string) {
	for _, uuid := range uuids {
		if r.s.ear.ask(uuid) {
			r.s.orders.wake()
		}
	}
}

// start starts a statement over the reading. One that has a snapshot of its own fails
// with duck.ErrNotAlone where something was committed before that was fixed, whatever
// else is wrong: its text may name what is not there any more.
func (r *reading) start(ctx context.Context, sql string, params duck.Params) (*duck.Stream, error) {
	if r.stood == inTransaction {
		return r.sess.conn.Query(ctx, sql, params)
	}
	r.over = false
	stands := func() bool { return r.s.ear.committed() == r.stood }
	stream, err := r.sess.conn.QueryIf(ctx, sql, params, stands)
	if err != nil && !stands() && ctx.Err() == nil && !duck.IsFatal(err) {
		err = duck.ErrNotAlone
	}
	return stream, err
}

// rows runs a statement over the reading and gives all its rows.
func (r *reading) rows(ctx context.Context, sql string, params duck.Params) ([][]any, error) {
	stream, err := r.start(ctx, sql, params)
	if err != nil {
		return nil, err
	}
	rows, err := stream.Rows(ctx)
	if err == nil {
		r.ended()
	}
	return rows, err
}

// ended says that the statement gave its last row: its own snapshot went with it.
func (r *reading) ended() { r.over = r.stood != inTransaction }

// end ends the reading; a session in which its transaction does not end is stuck.
func (r *reading) end(ctx context.Context) {
	var err error
	if !r.over { // most statements let go of their own snapshots with their last row
		err = r.sess.rollback.Exec(context.WithoutCancel(ctx))
	}
	r.s.readers.leave(r.number, r.ticket)
	// Where BEGIN itself failed there is none to roll back.
	if err != nil && !noTransaction(err) {
		r.sess.stuck = true
	}
}

// noTransaction says whether a ROLLBACK failed only as there was nothing to roll back.
func noTransaction(err error) bool {
	return !duck.IsFatal(err) && strings.Contains(err.Error(), "no transaction is active")
}

// explain gives the reason behind an error where a file went bad since it was
// checked.
func (r *reading) explain(err error) error {
	if code := lake.CodeOf(err); errors.Is(err, context.Canceled) || code == lake.CodeCancelled || code == lake.CodeDeadline {
		return err
	}
	for _, g := range r.guards {
		if bad := g.check(); bad != nil {
			return bad
		}
	}
	return err
}
