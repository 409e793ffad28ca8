package guard

import (
	"context"
	"slices"

	"tarn/internal/access"
	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/sqlddl"
)

// Door is the lake for one principal.
type Door struct {
	door engine.Door
	who  *access.Principal
}

var _ engine.Door = (*Door)(nil)

// New gives the lake as somebody may see and use it.
func New(door engine.Door, who *access.Principal) *Door { return &Door{door, who} }

// need fails where a dataset does not exist for the principal, or he may not do with
// it what the role stands for.
func (d *Door) need(role access.Role, name lake.Name) error {
	switch has := d.who.On(name); {
	case has < access.Read:
		return engine.NoDataset(name)
	case has < role:
		return d.denied("may not %s %s", role, name)
	}
	return nil
}

// makes fails where the principal may not make a dataset of a name.
func (d *Door) makes(name lake.Name) error {
	if d.who.On(name) < access.Write {
		return d.denied("may not make a dataset named %s", name)
	}
	return nil
}

// everywhere fails where the principal has no such role on the whole lake.
func (d *Door) everywhere(role access.Role, what string) error {
	if !d.who.Everywhere(role) {
		return d.denied("may not %s: it takes the role %s on the whole lake", what, role)
	}
	return nil
}

func (d *Door) denied(format string, args ...any) error {
	return Denied(d.who, format, args...)
}

// Denied is the error for what a principal may not do.
func Denied(who *access.Principal, format string, args ...any) error {
	return lake.Errorf(lake.CodeAccessDenied, "the token %s "+format, append([]any{who.ID}, args...)...).
		WithHint("ask the server's operator for a token that may")
}

func (d *Door) sees(dataset string) bool {
	name, err := lake.ParseName(dataset)
	return err == nil && d.who.On(name) >= access.Read
}

func (d *Door) own(idem engine.Idempotency) engine.Idempotency {
	idem.Owner = d.who.ID
	return idem
}

// List implements engine.Door.
func (d *Door) List(ctx context.Context, _ *lake.NameSet) ([]engine.Description, error) {
	all, err := d.door.List(ctx, d.who.Visible())
	// One may have got another name meanwhile.
	return slices.DeleteFunc(all, func(one engine.Description) bool { return !d.sees(one.Dataset) }), err
}

// Describe implements engine.Door.
func (d *Door) Describe(ctx context.Context, name lake.Name) (engine.Description, error) {
	if err := d.need(access.Read, name); err != nil {
		return engine.Description{}, err
	}
	about, err := d.door.Describe(ctx, name)
	if err == nil && !d.sees(about.Dataset) { // it got another name meanwhile
		return engine.Description{}, engine.NoDataset(name)
	}
	return about, err
}

// Create implements engine.Door.
func (d *Door) Create(ctx context.Context, r engine.CreateRequest) (engine.Description, error) {
	if err := d.makes(r.Dataset); err != nil {
		return engine.Description{}, err
	}
	r.Idempotency = d.own(r.Idempotency)
	return d.door.Create(ctx, r)
}

// Rename implements engine.Door.
func (d *Door) Rename(ctx context.Context, name, to lake.Name, idem engine.Idempotency) (engine.Description, error) {
	if err := d.need(access.Write, name); err != nil {
		return engine.Description{}, err
	}
	if err := d.makes(to); err != nil {
		return engine.Description{}, err
	}
	return d.door.Rename(ctx, name, to, d.own(idem))
}

// Drop implements engine.Door.
func (d *Door) Drop(ctx context.Context, name lake.Name, idem engine.Idempotency) error {
	if err := d.need(access.Write, name); err != nil {
		return err
	}
	return d.door.Drop(ctx, name, d.own(idem))
}

// Alter implements engine.Door.
func (d *Door) Alter(ctx context.Context, r engine.AlterRequest) (engine.AlterResult, error) {
	if err := d.need(access.Write, r.Dataset); err != nil {
		return engine.AlterResult{}, err
	}
	r.Idempotency = d.own(r.Idempotency)
	return d.door.Alter(ctx, r)
}

// Deltas implements engine.Door.
func (d *Door) Deltas(ctx context.Context, name lake.Name) ([]engine.DeltaInfo, error) {
	if err := d.need(access.Read, name); err != nil {
		return nil, err
	}
	return d.door.Deltas(ctx, name)
}

// Feed implements engine.Door.
func (d *Door) Feed(ctx context.Context, r engine.FeedRequest) (*engine.Feed, error) {
	if err := d.need(access.Read, r.Dataset); err != nil {
		return nil, err
	}
	r.Owner = d.who.ID
	return d.door.Feed(ctx, r)
}

// Change implements engine.Door.
func (d *Door) Change(ctx context.Context, r engine.ChangeRequest) (engine.ChangeResult, error) {
	if err := d.need(access.Write, r.Dataset); err != nil {
		return engine.ChangeResult{}, err
	}
	r.Idempotency = d.own(r.Idempotency)
	return d.door.Change(ctx, r)
}

// Execute implements engine.Door. What the statement reads has to be seen, as by Query.
func (d *Door) Execute(ctx context.Context, r engine.StatementRequest) (engine.StatementResult, error) {
	if err := d.need(access.Write, r.Statement.Target); err != nil {
		return engine.StatementResult{}, err
	}
	r.Owner, r.Visible = d.who.ID, d.who.Visible()
	r.Idempotency = d.own(r.Idempotency)
	return d.door.Execute(ctx, r)
}

// ExecuteTransaction implements engine.Door, as Execute of each of its statements.
func (d *Door) ExecuteTransaction(ctx context.Context, r engine.TransactionRequest) (engine.TransactionResult, error) {
	for _, p := range r.Transaction.Parts {
		if err := d.need(access.Write, p.Statement.Target); err != nil {
			return engine.TransactionResult{}, err
		}
	}
	r.Owner, r.Visible = d.who.ID, d.who.Visible()
	r.Idempotency = d.own(r.Idempotency)
	return d.door.ExecuteTransaction(ctx, r)
}

// Define implements engine.Door. It takes what the call for the same takes: PUT or DELETE
// of a dataset. What the query of CREATE TABLE AS reads has to be seen, as by Query.
func (d *Door) Define(ctx context.Context, r engine.DefinitionRequest) (engine.DefinitionResult, error) {
	target := r.Statement.Target
	may := d.makes(target)
	if r.Statement.Verb == sqlddl.Drop {
		may = d.need(access.Write, target)
		if r.Statement.IfExists && lake.CodeOf(may) == lake.CodeDatasetNotFound {
			// For him it does not exist: the answer is that for a name that no dataset has.
			return engine.DefinitionResult{Statement: string(r.Statement.Verb), Dataset: target.String()}, nil
		}
	}
	if may != nil {
		return engine.DefinitionResult{}, may
	}
	r.Owner, r.Visible = d.who.ID, d.who.Visible()
	r.Idempotency = d.own(r.Idempotency)
	return d.door.Define(ctx, r)
}

// Import implements engine.Door.
func (d *Door) Import(ctx context.Context, r engine.ImportRequest) (*engine.Job, error) {
	may := d.makes(r.Dataset)
	if r.Mode != engine.ImportCreate && r.Mode != "" {
		may = d.need(access.Write, r.Dataset)
	}
	if may != nil {
		return nil, lake.Step("import "+r.Dataset.String(), may)
	}
	r.Idempotency = d.own(r.Idempotency)
	return d.door.Import(ctx, r)
}

// Compact implements engine.Door.
func (d *Door) Compact(ctx context.Context, r engine.CompactRequest) (*engine.Job, error) {
	may := d.everywhere(access.Write, "compact all datasets")
	if r.Dataset != nil {
		may = d.need(access.Write, *r.Dataset)
	}
	if may != nil {
		return nil, may
	}
	return d.door.Compact(ctx, r)
}

// Attach implements engine.Door. It names a place of the server's machine.
func (d *Door) Attach(ctx context.Context, r engine.AttachRequest) (*engine.Job, error) {
	if err := d.everywhere(access.Admin, "attach tables"); err != nil {
		return nil, err
	}
	return d.door.Attach(ctx, r)
}

// Sync implements engine.Door.
func (d *Door) Sync(ctx context.Context, name lake.Name) (*engine.Job, error) {
	if err := d.need(access.Write, name); err != nil {
		return nil, err
	}
	return d.door.Sync(ctx, name)
}

// Detach implements engine.Door. It copies nothing and reaches no place but the lake.
func (d *Door) Detach(ctx context.Context, name lake.Name) (engine.Description, error) {
	if err := d.need(access.Write, name); err != nil {
		return engine.Description{}, err
	}
	return d.door.Detach(ctx, name)
}

// Backup implements engine.Door. It writes to a folder of the server's machine.
func (d *Door) Backup(ctx context.Context, r engine.BackupRequest) (*engine.Job, error) {
	if err := d.everywhere(access.Admin, "back the lake up"); err != nil {
		return nil, err
	}
	return d.door.Backup(ctx, r)
}

// IcebergNames implements engine.Door.
func (d *Door) IcebergNames(ctx context.Context, _ *lake.NameSet) ([]lake.Name, error) {
	all, err := d.door.IcebergNames(ctx, d.who.Visible())
	return slices.DeleteFunc(all, func(n lake.Name) bool { return d.who.On(n) < access.Read }), err
}

// IcebergLoad implements engine.Door.
func (d *Door) IcebergLoad(ctx context.Context, r engine.IcebergLoadRequest) (engine.IcebergTable, error) {
	if err := d.need(access.Read, r.Dataset); err != nil {
		return engine.IcebergTable{}, err
	}
	return d.door.IcebergLoad(ctx, r)
}

// IcebergCreate implements engine.Door.
func (d *Door) IcebergCreate(ctx context.Context, r engine.IcebergCreateRequest) (engine.IcebergTable, error) {
	if err := d.makes(r.Dataset); err != nil {
		return engine.IcebergTable{}, err
	}
	return d.door.IcebergCreate(ctx, r)
}

// IcebergCommit implements engine.Door.
func (d *Door) IcebergCommit(ctx context.Context, r engine.IcebergCommitRequest) (engine.IcebergTable, error) {
	if err := d.mayCommit(r); err != nil {
		return engine.IcebergTable{}, err
	}
	return d.door.IcebergCommit(ctx, r)
}

func (d *Door) mayCommit(r engine.IcebergCommitRequest) error {
	if r.Creates() {
		return d.makes(r.Dataset)
	}
	return d.need(access.Write, r.Dataset)
}

// IcebergTransaction implements engine.Door.
func (d *Door) IcebergTransaction(ctx context.Context, all []engine.IcebergCommitRequest) error {
	for _, r := range all {
		if err := d.mayCommit(r); err != nil {
			return err
		}
	}
	return d.door.IcebergTransaction(ctx, all)
}

// Reroot implements engine.Door.
func (d *Door) Reroot(ctx context.Context) (*engine.Job, error) {
	if err := d.everywhere(access.Admin, "give the lake a new root"); err != nil {
		return nil, err
	}
	return d.door.Reroot(ctx)
}

// on is the role on what a job works on; "" is the whole lake.
func (d *Door) on(dataset string) access.Role {
	if dataset == "" {
		return d.who.Role
	}
	name, err := lake.ParseName(dataset)
	if err != nil {
		return access.None
	}
	return d.who.On(name)
}

// Jobs implements engine.Door.
func (d *Door) Jobs() []engine.JobInfo {
	return slices.DeleteFunc(d.door.Jobs(), func(j engine.JobInfo) bool { return d.on(j.Dataset) < access.Read })
}

// Job implements engine.Door.
func (d *Door) Job(id string) (*engine.Job, error) {
	j, err := d.door.Job(id)
	if err != nil {
		return nil, err
	}
	if d.on(j.Info().Dataset) < access.Read {
		return nil, engine.NoJob(id)
	}
	return j, nil
}

// CancelJob implements engine.Door.
func (d *Door) CancelJob(id string) (engine.JobInfo, error) {
	j, err := d.Job(id)
	if err != nil {
		return engine.JobInfo{}, err
	}
	if d.on(j.Info().Dataset) < access.Write {
		return engine.JobInfo{}, d.denied("may not cancel the job %s", id)
	}
	return d.door.CancelJob(id)
}

// Query implements engine.Door.
func (d *Door) Query(ctx context.Context, r engine.QueryRequest) (*engine.Answer, error) {
	r.Owner, r.Visible = d.who.ID, d.who.Visible()
	return d.door.Query(ctx, r)
}

// Get implements engine.Door.
func (d *Door) Get(ctx context.Context, r engine.GetRequest) (*engine.Answer, error) {
	if err := d.need(access.Read, r.Dataset); err != nil {
		return nil, err
	}
	r.Owner = d.who.ID
	return d.door.Get(ctx, r)
}

// Row implements engine.Door.
func (d *Door) Row(ctx context.Context, name lake.Name, key string) ([]byte, string, error) {
	if err := d.need(access.Read, name); err != nil {
		return nil, "", err
	}
	return d.door.Row(ctx, name, key)
}

// hasQuery says whether the principal may see and end a query: an administrator all,
// everybody else his own.
func (d *Door) hasQuery(q engine.QueryInfo) bool {
	return d.who.Role == access.Admin || q.Owner == d.who.ID
}

// Queries implements engine.Door.
func (d *Door) Queries() []engine.QueryInfo {
	return slices.DeleteFunc(d.door.Queries(), func(q engine.QueryInfo) bool { return !d.hasQuery(q) })
}

// CancelQuery implements engine.Door.
func (d *Door) CancelQuery(id string) (engine.QueryInfo, error) {
	if !slices.ContainsFunc(d.Queries(), func(q engine.QueryInfo) bool { return q.ID == id }) {
		return engine.QueryInfo{}, engine.NoQuery(id)
	}
	return d.door.CancelQuery(id)
}

// CachePin implements engine.Door.
func (d *Door) CachePin(ctx context.Context, name lake.Name) (engine.CacheEntry, error) {
	if err := d.everywhere(access.Admin, "pin datasets"); err != nil {
		return engine.CacheEntry{}, err
	}
	return d.door.CachePin(ctx, name)
}

// CacheUnpin implements engine.Door.
func (d *Door) CacheUnpin(ctx context.Context, name lake.Name) (engine.CacheEntry, error) {
	if err := d.everywhere(access.Admin, "unpin datasets"); err != nil {
		return engine.CacheEntry{}, err
	}
	return d.door.CacheUnpin(ctx, name)
}

// CacheEvict implements engine.Door.
func (d *Door) CacheEvict(ctx context.Context, name lake.Name) (engine.CacheEntry, error) {
	if err := d.everywhere(access.Admin, "evict datasets"); err != nil {
		return engine.CacheEntry{}, err
	}
	return d.door.CacheEvict(ctx, name)
}

// CacheEvictAll implements engine.Door.
func (d *Door) CacheEvictAll(ctx context.Context, pinnedToo bool) ([]engine.CacheEntry, error) {
	if err := d.everywhere(access.Admin, "evict datasets"); err != nil {
		return nil, err
	}
	return d.door.CacheEvictAll(ctx, pinnedToo)
}

// Workers implements engine.Door. The last words of a worker may quote anybody's SQL.
func (d *Door) Workers(ctx context.Context) (engine.WorkersInfo, error) {
	if err := d.everywhere(access.Admin, "see the workers"); err != nil {
		return engine.WorkersInfo{}, err
	}
	return d.door.Workers(ctx)
}

// CacheStats implements engine.Door. Who does not see the whole lake gets the figures
// of the datasets that he sees; those that are of the lake alone are 0.
func (d *Door) CacheStats(ctx context.Context) (engine.CacheStats, error) {
	s, err := d.door.CacheStats(ctx)
	if err != nil || d.who.Everywhere(access.Read) {
		return s, err
	}
	out := engine.CacheStats{BudgetBytes: s.BudgetBytes, Datasets: []engine.CacheEntry{}}
	for _, one := range s.Datasets {
		if d.sees(one.Dataset) {
			out.Datasets = append(out.Datasets, one)
			out.UsedBytes += one.Bytes
			out.Hits += one.Hits
		}
	}
	return out, nil
}

// Verify implements engine.Door.
func (d *Door) Verify(ctx context.Context, progress func(engine.JobProgress)) (engine.VerifyReport, error) {
	if err := d.everywhere(access.Admin, "verify the lake"); err != nil {
		return engine.VerifyReport{}, err
	}
	return d.door.Verify(ctx, progress)
}

// Ready implements engine.Door.
func (d *Door) Ready() error { return d.door.Ready() }

// Following implements engine.Door.
func (d *Door) Following() (engine.Following, bool) { return d.door.Following() }

// Outage implements engine.Door.
func (d *Door) Outage() bool { return d.door.Outage() }

// Settings implements engine.Door.
func (d *Door) Settings() engine.Settings { return d.door.Settings() }
