package handover

import (
	"context"
	"encoding/json"

	"github.com/apache/arrow-go/v18/arrow"

	"tarn/internal/lake"
)

// The names of the kinds of clusters, as requests say them.
const (
	Spark = "spark"
	Trino = "trino"
)

// Query is one SELECT that the gate let pass.
type Query struct {
	SQL    string          // as it was asked, in DuckDB's words
	Params json.RawMessage // an array for ? and $1, an object for $name, or nothing
}

// Cluster answers queries. It is for concurrent use.
type Cluster interface {
	// Name is Spark or Trino.
	Name() string
	// Query starts a query and gives its answer, which the caller closes. The end of ctx
	// ends the query, also while the answer is read. Errors: CodeSQLInvalid with the
	// cluster's own words, CodeSQLRefused and CodeUnsupported for what cannot be said to
	// it, CodeInvalidRequest for parameters that are missing or too many,
	// CodeEngineUnavailable where it does not answer, CodeEngineFailed where it fails, and
	// those of ctx.
	Query(ctx context.Context, q Query) (Answer, error)
	// Close ends the connections, and waits until nothing of them is left.
	Close() error
}

// Answer is a running query's rows. It is for one goroutine.
type Answer interface {
	Schema() *arrow.Schema
	// Next gives the next batch, which the caller releases; io.EOF itself at the end of an
	// answer that is whole. Its errors are those of Cluster.Query.
	Next() (arrow.RecordBatch, error)
	// Close ends the query, in the cluster too, and does not wait for it. It may be
	// called twice.
	Close()
}

// Options say where the clusters are.
type Options struct {
	SparkURL string // sc://host:port/;token=…;use_ssl=true, or "" for none
	TrinoURL string // http(s)://user[:password]@host:port, or "" for none
	// Catalog is the name under which the clusters know the lake; "" is DefaultCatalog.
	Catalog string
	Version string // of this program, for the clusters' logs
}

// DefaultCatalog is the lake's name in a cluster where none is said. No namespace of a lake
// can have it.
const DefaultCatalog = "lake"

// The errors of this package do not wrap those of the connection: one of these may be
// io.EOF, which would be the end of an answer that is whole.

// unreachable is the error for a cluster that does not answer.
func unreachable(name, where string, err error) error {
	return lake.Errorf(lake.CodeEngineUnavailable, "%s at %s does not answer: %v", title(name), where, err).
		WithHint("look whether it runs and whether %s_url names it; without engine the query is answered here", name)
}

// cut is the error for an answer that ended before its end.
func cut(name string, err error) error {
	return lake.Errorf(lake.CodeEngineFailed, "the answer of %s was cut: %v", title(name), err).
		WithHint("what came is not the whole; ask again")
}

func title(name string) string {
	if name == Spark {
		return "Spark"
	}
	return "Trino"
}
