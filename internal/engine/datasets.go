package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/google/uuid"

	"tarn/internal/base"
	"tarn/internal/change"
	"tarn/internal/dataset"
	"tarn/internal/failpoint"
	"tarn/internal/format"
	"tarn/internal/imports"
	"tarn/internal/job"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// List describes the datasets of a set, by name; nil is all.
func (e *Engine) List(ctx context.Context, visible *lake.NameSet) ([]Description, error) {
	if err := e.mayRead(); err != nil {
		return nil, err
	}
	out := []Description{}
	for _, m := range e.members() {
		if !visible.Has(m.ds.State().Name) {
			continue
		}
		d, err := e.describe(ctx, m)
		switch {
		case lake.CodeOf(err) == lake.CodeDatasetNotFound: // dropped meanwhile
			continue
		case err != nil && ctx.Err() != nil:
			return nil, err
		case err != nil: // one dataset's trouble is not the others'
			d = describeState(m.ds.State())
			d.Rows, d.Problem = -1, err.Error()
		}
		out = append(out, d)
	}
	return out, nil
}

// Describe says what is known of a dataset.
func (e *Engine) Describe(ctx context.Context, name lake.Name) (Description, error) {
	if err := e.mayRead(); err != nil {
		return Description{}, err
	}
	m, err := e.member(name)
	if err != nil {
		return Description{}, err
	}
	return e.describe(ctx, m)
}

// describe counts rows exactly: from the base where nothing is pending, else by a
// query. Its read point is that of the count.
func (e *Engine) describe(ctx context.Context, m *member) (Description, error) {
	s := m.ds.State()
	asked := s.Name
	d := describeState(s)
	if d.PendingDeltas == 0 {
		return d, nil
	}
	if !s.Schema.Keyed() {
		d.Rows = d.BaseRows + d.PendingRows
		return d, nil
	}
	n, head, err := e.count(ctx, s.Name)
	if err != nil {
		return d, lake.Step("count the rows of "+s.Name.String(), err)
	}
	// Where writers are faster than counting, rows, read point and ETag are those
	// of the count, and what is pending is what is pending now.
	s = m.ds.State()
	d = describeState(s)
	d.Rows, d.ETag = n, e.etagAt(m, head)
	for _, at := range head.ReadPoints {
		if at.TableUUID != s.UUID || s.Dropped {
			return d, lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped or renamed meanwhile", asked)
		}
		d.ReadPoint = at
	}
	return d, nil
}

func describeState(s *dataset.State) Description {
	d := Description{
		Dataset: s.Name.String(), PrimaryKey: append([]string{}, s.Schema.Key...), FormatVersion: s.Table.FormatVersion(),
		Files: len(s.Files), FoldedThrough: s.FoldedThrough, TrimmedThrough: s.FirstKept(), ReadPoint: s.Place(), ETag: s.ETag(),
		Attached: attachmentOf(s.Table),
	}
	for _, c := range s.Schema.Columns {
		d.Columns = append(d.Columns, Column{c.Name, c.Type.SQL(), c.Nullable})
	}
	d.BaseRows, d.Bytes = s.BaseSize()
	d.PendingDeltas, d.PendingRows, d.PendingBytes = s.PendingSize()
	d.Rows = d.BaseRows
	return d
}

// Create makes an empty dataset.
func (e *Engine) Create(ctx context.Context, r CreateRequest) (Description, error) {
	if err := e.mayWrite(); err != nil {
		return Description{}, err
	}
	schema := r.Schema
	if err := schema.Check(); err != nil {
		return Description{}, err
	}
	schema = schema.WithFieldIDs()
	spec, err := json.Marshal(struct {
		Schema        lake.Schema
		FormatVersion int `json:",omitempty"`
	}{schema, r.FormatVersion})
	if err != nil {
		return Description{}, err
	}
	var before storedDescription
	version := cmp.Or(r.FormatVersion, e.set.IcebergFormatVersion)
	if err := base.CheckFormatVersion(version); err != nil {
		return Description{}, err
	}
	req, done, err := e.begin(ctx, r.Idempotency, string(spec), &before)
	if err != nil || done {
		return before.description(), err
	}
	defer req.end()
	if _, err := e.member(r.Dataset); err == nil {
		return Description{}, lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", r.Dataset)
	}
	id := uuid.NewString()
	answer := describeEmpty(r.Dataset, id, version, schema)
	made, err := e.importer.CreateWith(e.ctx, id, schema, job.Result{}, imports.Request{
		Name: r.Dataset, FormatVersion: version, Properties: r.Properties,
		Catalog: func(next *format.Version, _ lake.ReadPoint, _ int64) {
			e.remember(next, req, http.StatusCreated, storedDescription{answer, answer.ETag})
		},
	})
	if err != nil {
		e.notice(err)
		return Description{}, lake.Step("create "+r.Dataset.String(), err)
	}
	return describeState(e.register(made.State).ds.State()), nil
}

// storedDescription is a Description as a catalog version keeps it for the
// repetition of a request: with its ETag, which travels in a header.
type storedDescription struct {
	Description
	ETag string `json:"etag"`
}

func (s storedDescription) description() Description {
	s.Description.FormatVersion = cmp.Or(s.Description.FormatVersion, base.VersionDefault) // there was no other
	s.Description.ETag = s.ETag
	return s.Description
}

func describeEmpty(name lake.Name, id string, version int, schema lake.Schema) Description {
	d := Description{Dataset: name.String(), PrimaryKey: append([]string{}, schema.Key...), FormatVersion: version, ETag: dataset.ETag(id, 0, 0)}
	d.ReadPoint.TableUUID = id
	for _, c := range schema.Columns {
		d.Columns = append(d.Columns, Column{c.Name, c.Type.SQL(), c.Nullable})
	}
	return d
}

// register makes a new dataset known to everybody, in one step with its entry in
// the stream. It is committed already, so this cannot fail.
func (e *Engine) register(s *dataset.State) *member {
	m := e.newMember(dataset.New(s, e.shop.NewLog(s.UUID), nil), true)
	e.stream.Do(func() []lake.Entry {
		e.addMember(m)
		return []lake.Entry{s.Publish(false)}
	})
	failpoint.Hit("create.registered")
	return m
}

// Rename gives a dataset another name; its read point stays. The description is of
// a read point shortly before.
func (e *Engine) Rename(ctx context.Context, name, to lake.Name, idem Idempotency) (Description, error) {
	if err := e.mayWrite(); err != nil {
		return Description{}, err
	}
	var before storedDescription
	req, done, err := e.begin(ctx, idem, to.Key(), &before)
	if err != nil || done {
		return before.description(), err
	}
	defer req.end()
	m, err := e.member(name)
	if err != nil {
		return Description{}, err
	}
	// Described before: once it has its name there must be an answer.
	answer, err := e.describe(ctx, m)
	if err != nil {
		return Description{}, err
	}
	answer.Dataset = to.String()
	err = m.committer.Exclusive(ctx, func(ctx context.Context, h *change.Held) error {
		s := h.State()
		if s.Dropped || s.Name.Key() != name.Key() {
			return lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped or renamed meanwhile", name)
		}
		err := e.shop.CommitCatalog(ctx, func(next *format.Version) error {
			if other := next.FindName(to); other != nil && other.TableUUID != s.UUID {
				return lake.Errorf(lake.CodeDatasetExists, "dataset %s exists already", to)
			}
			entry := next.Find(s.UUID)
			entry.Namespace, entry.Name = to.Namespace, to.Dataset
			e.remember(next, req, http.StatusOK, storedDescription{answer, answer.ETag})
			return nil
		}, func(v *format.Version) bool {
			entry := v.Find(s.UUID)
			return entry != nil && entry.LakeName() == to
		})
		if err != nil {
			return err
		}
		failpoint.Hit("rename.committed")
		h.Rename(to, func() { e.renameMember(m, name, to) })
		return nil
	})
	if err != nil {
		e.notice(err)
		return Description{}, lake.Step("rename "+name.String(), err)
	}
	failpoint.Hit("rename.published")
	return answer, nil
}

// Drop takes a dataset away. Its files go once nobody reads or retains them.
func (e *Engine) Drop(ctx context.Context, name lake.Name, idem Idempotency) error {
	if err := e.mayWrite(); err != nil {
		return err
	}
	req, done, err := e.begin(ctx, idem, "", nil)
	if err != nil || done {
		return err
	}
	defer req.end()
	m, err := e.member(name)
	if err != nil {
		return err
	}
	err = m.committer.Exclusive(ctx, func(ctx context.Context, h *change.Held) error {
		s := h.State()
		if s.Dropped || s.Name.Key() != name.Key() {
			return lake.Errorf(lake.CodeDatasetNotFound, "dataset %s was dropped or renamed meanwhile", name)
		}
		err := e.shop.CommitCatalog(ctx, func(next *format.Version) error {
			for i, entry := range next.Datasets {
				if entry.TableUUID == s.UUID {
					next.Datasets = append(next.Datasets[:i], next.Datasets[i+1:]...)
					break
				}
			}
			e.listTransactions(next)
			e.remember(next, req, http.StatusNoContent, nil)
			return nil
		}, func(v *format.Version) bool { return v.Find(s.UUID) == nil })
		if err != nil {
			return err
		}
		failpoint.Hit("drop.committed")
		h.Drop(func() { e.removeMember(s) })
		return nil
	})
	failpoint.Hit("drop.published")
	if err == nil {
		e.cache.Dropped(m.ds.State().UUID)
		e.results.Forget(m.ds.State().UUID)
	}
	e.notice(err)
	return lake.Step("drop "+name.String(), err)
}

// Deltas lists the deltas of a dataset that are still kept.
func (e *Engine) Deltas(_ context.Context, name lake.Name) ([]DeltaInfo, error) {
	if err := e.mayRead(); err != nil {
		return nil, err
	}
	m, err := e.member(name)
	if err != nil {
		return nil, err
	}
	s := m.ds.State()
	out := []DeltaInfo{}
	for _, d := range s.Deltas {
		info := DeltaInfo{Sequence: d.Sequence, Rows: d.Rows, Bytes: d.Bytes, Time: d.Time, State: "pending", Requests: len(d.Requests)}
		if d.Sequence <= s.FoldedThrough {
			info.State = "folded"
		}
		out = append(out, info)
	}
	return out, nil
}

// count gives the exact rows of a dataset, and the read point that they are of.
func (e *Engine) count(ctx context.Context, name lake.Name) (int64, rows.Head, error) {
	var out []struct {
		N int64 `json:"n"`
	}
	head, err := e.ask(ctx, fmt.Sprintf("SELECT count(*) AS n FROM %s", name.SQL()), &out)
	if err == nil && len(out) != 1 {
		err = lake.Errorf(lake.CodeInternal, "a count gave %d rows", len(out))
	}
	if err != nil {
		return 0, head, err
	}
	return out[0].N, head, nil
}
