package handover

import (
	"bytes"
	"context"
	"net"
	"sync"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"tarn/internal/handover/sparkpb"
)

// fakeSpark is a Spark Connect server that answers as a test says, and notes what it is
// asked.
type fakeSpark struct {
	url    string
	token  string // that it asks for, if any
	answer func(*sparkpb.SQL, func(rows int64, data []byte) error, context.Context) error
	server *grpc.Server

	mu struct {
		sync.Mutex
		configs     map[string]string
		interrupted []string
		released    []string
		sessions    []string
		used        string
	}
}

func newFakeSpark(t *testing.T) *fakeSpark {
	t.Helper()
	f := &fakeSpark{server: grpc.NewServer()}
	f.mu.configs = map[string]string{}
	f.server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "spark.connect.SparkConnectService", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{
			{MethodName: "Config", Handler: unary(f, f.config)},
			{MethodName: "Interrupt", Handler: unary(f, f.interrupt)},
			{MethodName: "ReleaseSession", Handler: unary(f, f.release)},
		},
		Streams: []grpc.StreamDesc{{StreamName: "ExecutePlan", ServerStreams: true, Handler: f.execute}},
	}, f)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = f.server.Serve(l) }()
	t.Cleanup(func() { f.server.Stop(); <-ended })
	f.url = "sc://" + l.Addr().String()
	return f
}

func unary[Q, A any](f *fakeSpark, do func(*Q) (*A, error)) grpc.MethodHandler {
	return func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		q := new(Q)
		if err := decode(q); err != nil {
			return nil, err
		}
		if err := f.admit(ctx); err != nil {
			return nil, err
		}
		return do(q)
	}
}

func (f *fakeSpark) admit(ctx context.Context) error {
	md, _ := metadata.FromIncomingContext(ctx)
	if got := md.Get("authorization"); f.token != "" && (len(got) != 1 || got[0] != "Bearer "+f.token) {
		return status.Error(codes.Unauthenticated, "who are you")
	}
	return nil
}

func (f *fakeSpark) config(q *sparkpb.ConfigRequest) (*sparkpb.ConfigResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.sessions = append(f.mu.sessions, q.SessionId)
	for _, kv := range q.GetOperation().GetSet().GetPairs() {
		f.mu.configs[kv.Key] = kv.GetValue()
	}
	return &sparkpb.ConfigResponse{}, nil
}

func (f *fakeSpark) interrupt(q *sparkpb.InterruptRequest) (*sparkpb.InterruptResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.interrupted = append(f.mu.interrupted, q.OperationId)
	return &sparkpb.InterruptResponse{}, nil
}

func (f *fakeSpark) release(q *sparkpb.ReleaseSessionRequest) (*sparkpb.ReleaseSessionResponse, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.released = append(f.mu.released, q.SessionId)
	return &sparkpb.ReleaseSessionResponse{}, nil
}

func (f *fakeSpark) execute(_ any, stream grpc.ServerStream) error {
	var q sparkpb.ExecutePlanRequest
	if err := stream.RecvMsg(&q); err != nil {
		return err
	}
	if err := f.admit(stream.Context()); err != nil {
		return err
	}
	sql := q.GetPlan().GetRoot().GetSql()
	if len(sql.Query) > 3 && sql.Query[:3] == "USE" {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.mu.used = sql.Query
		return nil
	}
	return f.answer(sql, func(rows int64, data []byte) error {
		return stream.SendMsg(&sparkpb.ExecutePlanResponse{ArrowBatch: &sparkpb.ExecutePlanResponse_ArrowBatch{RowCount: rows, Data: data}})
	}, stream.Context())
}

// numbers is an Arrow stream of one column of BIGINT.
func numbers(t *testing.T, values ...int64) []byte {
	t.Helper()
	schema := arrow.NewSchema([]arrow.Field{{Name: "n", Type: arrow.PrimitiveTypes.Int64}}, nil)
	b := array.NewRecordBuilder(memory.DefaultAllocator, schema)
	defer b.Release()
	b.Field(0).(*array.Int64Builder).AppendValues(values, nil)
	rec := b.NewRecordBatch()
	defer rec.Release()
	return streamOf(t, schema, rec)
}

func streamOf(t *testing.T, schema *arrow.Schema, records ...arrow.RecordBatch) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := ipc.NewWriter(&buf, ipc.WithSchema(schema))
	for _, rec := range records {
		if err := w.Write(rec); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}
