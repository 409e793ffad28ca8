package handover

import (
	"context"
	"crypto/tls"
	"sync"
	"time"

	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"tarn/internal/handover/sparkpb"
)

// The calls of Spark Connect that are used.
const (
	sparkService = "/spark.connect.SparkConnectService/"
	callExecute  = sparkService + "ExecutePlan"
	callConfig   = sparkService + "Config"
	callStop     = sparkService + "Interrupt"
	callRelease  = sparkService + "ReleaseSession"
)

const (
	// maxMessageBytes bounds one message of Spark's: a batch, which is 4 MB unless the
	// server is set otherwise.
	maxMessageBytes = 128 << 20
	connectTimeout  = 10 * time.Second
	// reconnectTimeout is less: a connection that failed shows nothing until it stands.
	reconnectTimeout = 2 * time.Second
	// releaseTimeout bounds the calls that end a query and its session.
	releaseTimeout = 10 * time.Second
)

// spark is a Spark Connect server. Each query has a session of its own, so that it sees the
// tables as they are: a session of Spark keeps those that it has loaded.
type spark struct {
	at      sparkURL
	catalog string
	version string
	conn    *grpc.ClientConn
	ending  sync.WaitGroup // of sessions that are being released
}

// NewSpark makes the client of a Spark Connect server. It connects when it is first asked.
func NewSpark(o Options) (Cluster, error) {
	at, err := parseSparkURL(o.SparkURL)
	if err != nil {
		return nil, err
	}
	transport := insecure.NewCredentials()
	if at.tls {
		transport = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	conn, err := grpc.NewClient("dns:///"+at.address, grpc.WithTransportCredentials(transport),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessageBytes)), grpc.WithUserAgent("tarn/"+o.Version), grpc.WithNoProxy())
	if err != nil {
		return nil, unreachable(Spark, at.String(), err)
	}
	return &spark{at: at, catalog: o.catalog(), version: o.Version, conn: conn}, nil
}

func (o Options) catalog() string {
	if o.Catalog == "" {
		return DefaultCatalog
	}
	return o.Catalog
}

// Name implements Cluster.
func (s *spark) Name() string { return Spark }

// Close implements Cluster.
func (s *spark) Close() error {
	s.ending.Wait()
	return s.conn.Close()
}

// reach has the connection stand, or tried anew where it failed before: what was down a
// moment ago may be back. A call then says why it does not stand.
func (s *spark) reach(ctx context.Context) {
	patience := connectTimeout
	if s.conn.GetState() == connectivity.TransientFailure {
		patience = reconnectTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	s.conn.ResetConnectBackoff()
	s.conn.Connect()
	for tried := false; ; tried = true {
		state := s.conn.GetState()
		if state == connectivity.Ready || state == connectivity.TransientFailure && tried || !s.conn.WaitForStateChange(ctx, state) {
			return
		}
	}
}

// sparkSession is a session for one query.
type sparkSession struct {
	s    *spark
	id   string
	user *sparkpb.UserContext
	kind *string // of the client
}

func (s *spark) session() sparkSession {
	kind := "tarn/" + s.version
	return sparkSession{s: s, id: uuid.NewString(), user: &sparkpb.UserContext{UserId: s.at.user, UserName: s.at.user}, kind: &kind}
}

// with gives a call who tarn is.
func (s *spark) with(ctx context.Context) context.Context {
	md := metadata.New(s.at.headers)
	if s.at.token != "" {
		md.Set("authorization", "Bearer "+s.at.token)
	}
	return metadata.NewOutgoingContext(ctx, md)
}

// sparkSettings make a session read SQL as its dialect writes it, and give times in UTC.
var sparkSettings = map[string]string{
	"spark.sql.session.timeZone":                 "UTC",
	"spark.sql.ansi.enabled":                     "true",
	"spark.sql.caseSensitive":                    "false",
	"spark.sql.variable.substitute":              "false",
	"spark.sql.parser.escapedStringLiterals":     "false",
	"spark.sql.ansi.doubleQuotedIdentifiers":     "false",
	"spark.sql.ansi.enforceReservedKeywords":     "false",
	"spark.sql.runSQLOnFiles":                    "false",
	"spark.sql.execution.arrow.useLargeVarTypes": "false",
}

// configure sets the session's settings, and where names of tables are looked for.
func (n sparkSession) configure(ctx context.Context) error {
	set := &sparkpb.ConfigRequest_Set{}
	for key, v := range sparkSettings {
		set.Pairs = append(set.Pairs, &sparkpb.KeyValue{Key: key, Value: &v})
	}
	req := &sparkpb.ConfigRequest{
		SessionId: n.id, UserContext: n.user, ClientType: n.kind,
		Operation: &sparkpb.ConfigRequest_Operation{OpType: &sparkpb.ConfigRequest_Operation_Set{Set: set}},
	}
	if err := n.s.conn.Invoke(n.s.with(ctx), callConfig, req, &sparkpb.ConfigResponse{}); err != nil {
		return n.s.failure(ctx, err, false)
	}
	stream, err := n.execute(ctx, &sparkpb.SQL{Query: "USE " + sparkDialect.name(n.s.catalog) + "." + sparkDialect.name(defaultNamespace)})
	if err != nil {
		return err
	}
	return stream.drain()
}

// release ends the session and what runs in it, in the background: nobody waits for it
// but Close.
func (n sparkSession) release(running string) {
	n.s.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), releaseTimeout)
		defer cancel()
		if running != "" {
			// What it says is not needed: a session that is released runs nothing.
			_ = n.s.conn.Invoke(n.s.with(ctx), callStop, &sparkpb.InterruptRequest{
				SessionId: n.id, UserContext: n.user, ClientType: n.kind,
				InterruptType: sparkpb.InterruptRequest_INTERRUPT_TYPE_OPERATION_ID, OperationId: running,
			}, &sparkpb.InterruptResponse{})
		}
		// A session that cannot be released ends by Spark's own time for idle ones.
		_ = n.s.conn.Invoke(n.s.with(ctx), callRelease, &sparkpb.ReleaseSessionRequest{
			SessionId: n.id, UserContext: n.user, ClientType: n.kind,
		}, &sparkpb.ReleaseSessionResponse{})
	})
}
