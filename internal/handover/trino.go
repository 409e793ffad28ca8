package handover

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"sync"
	"time"

	trinodb "github.com/trinodb/trino-go-client/trino"

	"tarn/internal/lake"
)

// trinoRetry bounds how long one call is tried again; a server that is not there is not
// worth more.
const (
	trinoRetry = 5 * time.Second
	trinoTries = 4
)

// trino is a Trino coordinator.
type trino struct {
	db        *sql.DB
	transport *http.Transport
	where     string // without secrets
	catalog   string
	ending    sync.WaitGroup // of queries that are being ended
}

// NewTrino makes the client of a Trino. It connects when it is first asked. The URL may
// have the parameters of trino-go-client's DSN, such as accessToken and SSLCertPath.
func NewTrino(o Options) (Cluster, error) {
	bad := func(format string, args ...any) (Cluster, error) {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "trino_url: "+format, args...).WithHint("write it like http://user@host:8080 or https://user:password@host:8443")
	}
	at, err := url.Parse(o.TrinoURL)
	if err != nil || at.Host == "" || at.Scheme != "http" && at.Scheme != "https" {
		return bad("it is no URL of a server") // which may hold a password, so it is not repeated
	}
	if at.User == nil || at.User.Username() == "" {
		return bad("it names no user")
	}
	config, err := trinodb.ParseDSN(o.TrinoURL)
	if err != nil {
		return bad("a parameter or a password over http is not taken")
	}
	if config.AccessToken != "" && at.Scheme == "http" && !isLocal(at.Hostname()) {
		return bad("a token goes over https, unless the server is on this machine")
	}
	retry, tries := trinoRetry, trinoTries
	config.Catalog, config.Schema, config.TimeZone, config.Source = o.catalog(), defaultNamespace, "UTC", "tarn"
	config.DisableExplicitPrepare = true // EXECUTE IMMEDIATE
	config.RequestRetryTimeout, config.RequestRetryMaxAttempts = &retry, &tries
	config.ClientInfo = "tarn/" + o.Version
	transport, err := trinoTransport(config)
	if err != nil {
		return bad("what it says of certificates: %w", err)
	}
	config.HTTPClient = &http.Client{Transport: trinoNoting{transport}}
	connector, err := trinodb.NewConnector(config)
	if err != nil {
		return bad("its parameters do not fit together")
	}
	return &trino{db: sql.OpenDB(connector), transport: transport, where: at.Scheme + "://" + at.Host, catalog: config.Catalog}, nil
}

// trinoTransport takes what the URL says of TLS into a transport of our own, which can be
// closed.
func trinoTransport(config *trinodb.Config) (*http.Transport, error) {
	own, err := config.TLSConfig()
	if err != nil {
		return nil, err
	}
	config.SSLCertPath, config.SSLCert, config.SSLVerification = "", "", ""
	config.SSLClientCertPath, config.SSLClientCert, config.SSLClientKeyPath, config.SSLClientKey = "", "", "", ""
	transport := http.DefaultTransport.(*http.Transport).Clone()
	if own != nil {
		transport.TLSClientConfig = own
	}
	return transport, nil
}

// Name implements Cluster.
func (t *trino) Name() string { return Trino }

// Close implements Cluster.
func (t *trino) Close() error {
	defer t.transport.CloseIdleConnections()
	t.ending.Wait()
	return t.db.Close()
}

// Query implements Cluster.
func (t *trino) Query(ctx context.Context, q Query) (Answer, error) {
	text, refs, err := trinoDialect.spell(q.SQL)
	if err != nil {
		return nil, err
	}
	values, err := bindParams(refs, q.Params)
	if err != nil {
		return nil, err
	}
	args := make([]any, len(values))
	for i, v := range values {
		if d, ok := v.(decimal); ok {
			v = trinodb.Numeric(d.text)
		}
		args[i] = v
	}
	run := &trinoRun{}
	ctx, cancel := context.WithCancel(context.WithValue(ctx, trinoRunKey{}, run))
	rows, err := t.db.QueryContext(ctx, text, args...)
	if err != nil {
		err = t.failure(ctx, err, false)
		cancel()
		t.end(run)
		return nil, err
	}
	a, err := newTrinoAnswer(ctx, t, rows)
	if err != nil {
		cancel()
		_ = rows.Close() // nobody wants them
		t.end(run)
		return nil, err
	}
	a.run, a.cancel = run, cancel
	return a, nil
}

// failure makes of what the client gives the error of a query; began says that a part of
// the answer has come.
func (t *trino) failure(ctx context.Context, err error, began bool) error {
	if ctx.Err() != nil {
		return lake.Step("wait for Trino", ctx.Err())
	}
	var said *trinodb.ErrTrino
	var failed *trinodb.ErrQueryFailed
	switch {
	case errors.As(err, &said):
		return t.said(said)
	case errors.Is(err, trinodb.ErrQueryCancelled):
		return lake.Errorf(lake.CodeCancelled, "the query was cancelled in Trino")
	case errors.As(err, &failed) && (failed.StatusCode == http.StatusUnauthorized || failed.StatusCode == http.StatusForbidden):
		return lake.Errorf(lake.CodeEngineUnavailable, "Trino at %s does not let tarn in: status %d", t.where, failed.StatusCode).WithHint("look at user, password or token in trino_url")
	case began:
		return cut(Trino, err)
	case failed != nil:
		return unreachable(Trino, t.where, err)
	}
	return lake.Errorf(lake.CodeEngineFailed, "the answer of Trino: %v", err)
}

// said is an error that Trino tells of a query.
func (t *trino) said(e *trinodb.ErrTrino) error {
	words := firstLine(e.Message)
	switch {
	case e.ErrorName == "TABLE_NOT_FOUND" || e.ErrorName == "SCHEMA_NOT_FOUND" || e.ErrorName == "CATALOG_NOT_FOUND":
		return lake.Errorf(lake.CodeEngineFailed, "Trino does not find it: %s", words).
			WithHint("its catalog %s must be this server's Iceberg catalog: docs/ICEBERG.md", t.catalog)
	case e.ErrorType == "USER_ERROR":
		return lake.Errorf(lake.CodeSQLInvalid, "Trino: %s (%s)", words, e.ErrorName).
			WithHint("what is handed over has to mean something in Trino's SQL too; without engine it is answered here")
	}
	return lake.Errorf(lake.CodeEngineFailed, "Trino: %s (%s)", words, e.ErrorName)
}
