package cli

import (
	"context"
	"errors"
	"io"
	"os"
	"strconv"

	"github.com/alecthomas/kong"
	"golang.org/x/term"

	"tarn/internal/demo/staffing"
)

// Program is one run of tarn. The zero value of a field is not usable unless
// its comment says so; cmd/tarn fills them from the process, tests as they like.
type Program struct {
	Args   []string // without the program's name
	Stdin  io.Reader
	Stdout io.Writer
	Stderr io.Writer
	Env    func(name string) (value string, ok bool)
	// Self is the argv that starts this program again, for worker and job
	// processes. Nil runs both inside this process.
	Self []string
	// Memory is what the machine, or the control group of this process, has.
	Memory  int64
	Version string
	// Interrupts lets a command have a Ctrl-C for itself; nil where there are none.
	Interrupts *Interrupts
}

// commands is the command line.
type commands struct {
	SQL      sqlCommand      `cmd:"" name:"sql" group:"data" help:"Ask a question in SQL."`
	Import   importCommand   `cmd:"" group:"data" help:"Bring files into a dataset."`
	Upsert   upsertCommand   `cmd:"" group:"data" help:"Insert or replace rows by key."`
	Delete   deleteCommand   `cmd:"" group:"data" help:"Delete rows by key."`
	Changes  changesCommand  `cmd:"" group:"data" help:"Read the changes of a dataset after a sequence, or follow them."`
	Datasets datasetsCommand `cmd:"" group:"data" help:"List datasets, or describe one."`
	Create   createCommand   `cmd:"" group:"data" help:"Create an empty dataset."`
	Alter    alterCommand    `cmd:"" group:"data" help:"Add, drop, rename and widen columns."`
	Attach   attachCommand   `cmd:"" group:"data" help:"Take an Iceberg table of others as the base of a dataset."`
	Sync     syncCommand     `cmd:"" group:"data" help:"Take what the owner of an attached table has committed since."`
	Detach   detachCommand   `cmd:"" group:"data" help:"Make an attached dataset tarn's own."`
	Rename   renameCommand   `cmd:"" group:"data" help:"Rename a dataset."`
	Drop     dropCommand     `cmd:"" group:"data" help:"Drop a dataset and all its rows."`

	Serve   serveCommand   `cmd:"" group:"lake" help:"Serve a lake over HTTP."`
	Cache   cacheCommand   `cmd:"" group:"lake" help:"Datasets in memory: stats, pin, unpin, evict."`
	Compact compactCommand `cmd:"" group:"lake" help:"Fold pending changes into the base."`
	Verify  verifyCommand  `cmd:"" group:"lake" help:"Read everything durable and say what is wrong."`
	Backup  backupCommand  `cmd:"" group:"lake" help:"Copy the lake into a folder while it goes on."`
	Restore restoreCommand `cmd:"" group:"lake" help:"Make a lake of a backup."`
	Reroot  rerootCommand  `cmd:"" group:"lake" help:"Make a moved lake readable by other engines."`
	Token   tokenCommand   `cmd:"" group:"lake" help:"Tokens that a server asks for: new, list, revoke."`

	Demo    demoCommand    `cmd:"" group:"more" help:"A guided tour on 2,467,000 rows that it makes itself."`
	Bench   benchCommand   `cmd:"" group:"more" help:"Measure tarn beside plain DuckDB on this machine."`
	Version versionCommand `cmd:"" group:"more" help:"Print the version."`

	Worker workerCommand `cmd:"" hidden:"" help:"The process that answers queries; started by tarn."`
	Job    jobCommand    `cmd:"" hidden:"" help:"The process that imports and compacts; started by tarn."`

	BenchPeer benchPeerCommand `cmd:"" hidden:"" help:"Plain DuckDB beside which tarn is measured; started by tarn bench."`
}

const description = `tarn keeps your data as Parquet, changeable row by row, fast to query, and never wrong.

Examples:
  tarn demo                                                a guided tour
  tarn import trips data/*.parquet --primary-key trip_id   files become a dataset
  tarn sql "select count(*) from trips"                    ask
  tarn upsert trips fixes.ndjson                           change rows
  tarn serve                                               the same over HTTP

Commands work on the lake in ./tarn-data, or on that of --data; when a server
has it open, they talk to that server. --server URL talks to a server elsewhere.
Settings: flag, then environment (TARN_...), then tarn.yaml, then default.`

// exited carries the exit code of --help through kong's parser.
type exited struct{ code int }

// Run runs the program and gives its exit code. When ctx ends, the command is
// cancelled, or drained where it is a server.
func (p *Program) Run(ctx context.Context) (code int) {
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(exited)
			if !ok {
				panic(r)
			}
			code = e.code
		}
	}()
	var c commands
	parser, err := kong.New(&c,
		kong.Name("tarn"), kong.Description(description),
		kong.Writers(p.Stdout, p.Stderr),
		kong.Exit(func(code int) { panic(exited{code}) }),
		kong.Resolvers(&configuration{env: p.Env}),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, NoAppDescFormat: true, FlagsLast: true, WrapUpperBound: 100}),
		kong.Help(help),
		kong.ValueFormatter(p.flagHelp),
		kong.ExplicitGroups([]kong.Group{
			{Key: "data", Title: "Data:"}, {Key: "lake", Title: "The lake:"}, {Key: "more", Title: "More:"},
			{Key: "where", Title: "Which lake:"},
			{Key: "settings", Title: "Settings (each also in the environment and in tarn.yaml):"},
		}),
		kong.BindTo(ctx, (*context.Context)(nil)),
		kong.Bind(p),
		kong.Vars{"seed": strconv.FormatUint(staffing.DefaultSeed, 10), "logLevel": "warn"},
	)
	if err != nil {
		return report(p.Stderr, err)
	}
	args := p.Args
	if len(args) == 0 {
		args = []string{"--help"}
	}
	parsed, err := parser.Parse(args)
	if err != nil {
		return report(p.Stderr, parseError(err))
	}
	return report(p.Stderr, parsed.Run())
}

// parseError is what the parser did not understand, with where to look it up.
func parseError(err error) error {
	var usage *usageError
	if errors.As(err, &usage) {
		return err
	}
	command := ""
	var parse *kong.ParseError
	if errors.As(err, &parse) && parse.Context != nil && parse.Context.Selected() != nil {
		command = parse.Context.Selected().Name + " "
	}
	return (&usageError{err: err}).withHint("tarn %s--help says more", command)
}

// isTerminal says whether a stream is a terminal that a person looks at.
func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// width is how many columns the terminal of a stream has, 0 when unknown.
func width(stream any) int {
	f, ok := stream.(*os.File)
	if !ok {
		return 0
	}
	w, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return w
}
