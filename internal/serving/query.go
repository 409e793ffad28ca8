package serving

import (
	"context"
	"errors"
	"strings"
	"time"

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
	grouped    *duck.Grouped // nil: it runs as it is
	byKey      *keyRead      // instead of sql
	instants   []lake.InstantFiles
	views      []string // their names in sql
}

// run begins the plan's transaction and starts its statement.
func (s *Serving) run(ctx context.Context, sess *session, p plan) (*Answer, error) {
	r, err := s.begin(ctx, sess, p)
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
	sql, recoded := s.recode(p, r)
	if !recoded {
		sql = p.sql
	}
	stream, err := sess.conn.Query(ctx, sql, p.params)
	if err != nil && recoded && ctx.Err() == nil && !duck.IsFatal(err) {
		r.end(ctx)
		p.grouped = nil // its error, or answer, is that of its own text
		return s.run(ctx, sess, p)
	}
	if err != nil {
		err = r.explain(err)
		r.end(ctx)
		return nil, err
	}
	return newAnswer(s, sess, r, stream, p), nil
}

// reading is a read transaction that has seen which datasets stand where.
type reading struct {
	s      *Serving
	sess   *session
	number int64 // as registered among the readers
	ticket int64 // likewise
	guards []*guard
	points map[string]lake.Place
	from   map[string]string
}

// begin waits until the named datasets show what was heard of them, checks their
// files, and begins a transaction whose snapshot has exactly those files.
func (s *Serving) begin(ctx context.Context, sess *session, p plan) (*reading, error) {
	for {
		r, err := s.tryBegin(ctx, sess, p)
		if r != nil || err != nil {
			return r, err
		}
		select { // the publisher stands between its commit and saying so
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
}

func (s *Serving) tryBegin(ctx context.Context, sess *session, p plan) (_ *reading, err error) {
	r := &reading{s: s, sess: sess, points: map[string]lake.Place{}, from: map[string]string{}}
	if p.whole {
		heard, _ := s.ear.positions()
		if err := s.ear.waitApplied(ctx, heard); err != nil {
			return nil, err
		}
	}
	// All are looked up before any is waited for: otherwise, while entries keep coming,
	// each would be waited for anew, and the first have moved on once the last is there.
	uuids, last := make([]string, len(p.datasets)), make([]int64, len(p.datasets))
	var absent []string
	for i, name := range p.datasets {
		uuid, d, ok := s.ear.find(name)
		if !ok {
			return nil, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s does not exist", name)
		}
		uuids[i], last[i] = uuid, d.last
	}
	for i, uuid := range uuids {
		g, err := s.ear.waitShown(ctx, uuid, last[i])
		if err != nil {
			return nil, err
		}
		if g == nil {
			return nil, nil
		}
		if err := g.check(); lake.CodeOf(err) == lake.CodeNotLocal {
			absent = append(absent, uuid)
		} else if err != nil {
			return nil, err
		}
		r.guards = append(r.guards, g)
	}
	if len(absent) > 0 { // all of them, so that they are brought together
		return nil, lake.Errorf(lake.CodeNotLocal, "%s", strings.Join(absent, " "))
	}
	_, r.number = s.ear.positions()
	r.ticket = s.readers.enter(r.number)
	ok, err := r.fix(ctx, p.datasets, uuids)
	if err != nil || !ok {
		r.end(ctx)
		return nil, err
	}
	for _, uuid := range uuids {
		if s.ear.ask(uuid) {
			s.orders.wake()
		}
	}
	return r, nil
}

// fix begins the transaction and reads where the datasets stand, which fixes
// the snapshot. ok is false when they moved since their guards were taken.
func (r *reading) fix(ctx context.Context, names []lake.Name, uuids []string) (ok bool, err error) {
	takesMemory(ctx) // what came before was waiting
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
		place := lake.Place{ReadPoint: lake.ReadPoint{TableUUID: uuid, Sequence: row[3].(int64)}}
		if snapshot, ok := row[4].(string); ok {
			place.Snapshot = &snapshot
		}
		from := lake.ServedFromParquet
		if row[5].(bool) {
			from = lake.ServedFromImage
		}
		r.points[name.String()], r.from[name.String()] = place, from
	}
	return true, nil
}

// end ends the transaction; a session in which it does not end is stuck.
func (r *reading) end(ctx context.Context) {
	err := r.sess.rollback.Exec(context.WithoutCancel(ctx))
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
