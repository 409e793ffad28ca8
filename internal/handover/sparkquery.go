package handover

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/ipc"
	"github.com/google/uuid"
	"google.golang.org/grpc"

	"tarn/internal/handover/sparkpb"
	"tarn/internal/lake"
)

const defaultNamespace = lake.DefaultNamespace

// Query implements Cluster.
func (s *spark) Query(ctx context.Context, q Query) (Answer, error) {
	text, refs, err := sparkDialect.spell(q.SQL)
	if err != nil {
		return nil, err
	}
	values, err := bindParams(refs, q.Params)
	if err != nil {
		return nil, err
	}
	s.reach(ctx)
	ctx, cancel := context.WithCancel(ctx)
	n := s.session()
	a, err := n.ask(ctx, newSparkSQL(text, refs, values))
	if err != nil {
		cancel()
		n.release("")
		return nil, err
	}
	a.close = sync.OnceFunc(func() {
		cancel()
		running := a.id
		if a.ended {
			running = ""
		}
		n.release(running)
	})
	return a, nil
}

func (n sparkSession) ask(ctx context.Context, sql *sparkpb.SQL) (*sparkAnswer, error) {
	if err := n.configure(ctx); err != nil {
		return nil, err
	}
	a, err := n.execute(ctx, sql)
	if err != nil {
		return nil, err
	}
	return a, a.begin()
}

// newSparkSQL gives the text its parameters: by place, or else by name.
func newSparkSQL(text string, refs []ref, values []value) *sparkpb.SQL {
	sql := &sparkpb.SQL{Query: text}
	if places(refs) {
		for _, v := range values {
			sql.PosArguments = append(sql.PosArguments, sparkLiteral(v))
		}
		return sql
	}
	sql.NamedArguments = map[string]*sparkpb.Expression{}
	for name, v := range byName(refs, values, func(r ref) string { return sparkDialect.marker(r)[1:] }) {
		sql.NamedArguments[name] = sparkLiteral(v)
	}
	return sql
}

func sparkLiteral(v value) *sparkpb.Expression {
	l := &sparkpb.Expression_Literal{}
	switch v := v.(type) {
	case nil:
		l.LiteralType = &sparkpb.Expression_Literal_Null{Null: &sparkpb.DataType{Kind: &sparkpb.DataType_Null_{Null: &sparkpb.DataType_Null{}}}}
	case bool:
		l.LiteralType = &sparkpb.Expression_Literal_Boolean{Boolean: v}
	case int64:
		l.LiteralType = &sparkpb.Expression_Literal_Long{Long: v}
	case float64:
		l.LiteralType = &sparkpb.Expression_Literal_Double{Double: v}
	case decimal:
		l.LiteralType = &sparkpb.Expression_Literal_Decimal{Decimal: &sparkpb.Expression_Decimal{Value: v.text, Precision: &v.precision, Scale: &v.scale}}
	case string:
		l.LiteralType = &sparkpb.Expression_Literal_String_{String_: v}
	}
	return &sparkpb.Expression{ExprType: &sparkpb.Expression_Literal_{Literal: l}}
}

// execute starts a plan of one text.
func (n sparkSession) execute(ctx context.Context, sql *sparkpb.SQL) (*sparkAnswer, error) {
	a := &sparkAnswer{s: n.s, ctx: ctx, id: uuid.NewString(), close: func() {}}
	req := &sparkpb.ExecutePlanRequest{
		SessionId: n.id, UserContext: n.user, ClientType: n.kind, OperationId: &a.id,
		Plan: &sparkpb.Plan{OpType: &sparkpb.Plan_Root{Root: &sparkpb.Relation{RelType: &sparkpb.Relation_Sql{Sql: sql}}}},
	}
	var err error
	if a.stream, err = n.s.conn.NewStream(n.s.with(ctx), &grpc.StreamDesc{ServerStreams: true}, callExecute); err != nil {
		return nil, n.s.failure(ctx, err, false)
	}
	if err = a.stream.SendMsg(req); err == nil || errors.Is(err, io.EOF) { // then RecvMsg says why
		err = a.stream.CloseSend()
	}
	if err != nil {
		return nil, n.s.failure(ctx, err, false)
	}
	return a, nil
}

// sparkAnswer is the stream of a plan's answers. A message has at most a batch, and the
// next one is taken when that is asked for: so long Spark waits.
type sparkAnswer struct {
	s      *spark
	ctx    context.Context // of the query
	id     string          // of the operation
	stream grpc.ClientStream
	schema *arrow.Schema
	first  []arrow.RecordBatch // taken in before they were asked for
	began  bool                // a batch came
	ended  bool
	close  func()
}

// Schema implements Answer.
func (a *sparkAnswer) Schema() *arrow.Schema { return a.schema }

// begin waits for the first batch, which has the schema.
func (a *sparkAnswer) begin() (err error) {
	if a.first, err = a.take(); err == io.EOF {
		return lake.Errorf(lake.CodeEngineFailed, "the answer of Spark has no columns")
	}
	return err
}

// Next implements Answer.
func (a *sparkAnswer) Next() (arrow.RecordBatch, error) {
	for {
		if len(a.first) > 0 {
			rec := a.first[0]
			a.first = a.first[1:]
			return rec, nil
		}
		var err error
		if a.first, err = a.take(); err != nil {
			return nil, err
		}
	}
}

// Close implements Answer.
func (a *sparkAnswer) Close() {
	for _, rec := range a.first {
		rec.Release()
	}
	a.first = nil
	a.close()
}

// drain reads to the end of an answer that nobody wants.
func (a *sparkAnswer) drain() error {
	for {
		batches, err := a.take()
		for _, rec := range batches {
			rec.Release()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// take takes the next message that has Arrow in it; io.EOF at the end.
func (a *sparkAnswer) take() ([]arrow.RecordBatch, error) {
	if a.ended {
		return nil, io.EOF
	}
	for {
		var m sparkpb.ExecutePlanResponse
		if err := a.stream.RecvMsg(&m); err != nil {
			a.ended = true
			if err == io.EOF { // gRPC's, where the server said that it was all
				return nil, io.EOF
			}
			return nil, a.s.failure(a.ctx, err, a.began)
		}
		if batch := m.GetArrowBatch(); batch != nil {
			a.began = true
			return a.batches(batch)
		}
	}
}

// batches decodes a message's Arrow, and holds it against what the message says of it.
func (a *sparkAnswer) batches(m *sparkpb.ExecutePlanResponse_ArrowBatch) (out []arrow.RecordBatch, err error) {
	defer func() {
		if err != nil {
			for _, rec := range out {
				rec.Release()
			}
			out = nil
		}
	}()
	r, err := ipc.NewReader(bytes.NewReader(m.GetData()))
	if err != nil {
		return nil, cut(Spark, err)
	}
	defer r.Release()
	if a.schema == nil {
		a.schema = presented(r.Schema())
	}
	if len(r.Schema().Fields()) != len(a.schema.Fields()) {
		return nil, lake.Errorf(lake.CodeEngineFailed, "a batch of Spark's answer has other columns than the first")
	}
	rows := int64(0)
	for r.Next() {
		rec, err := present(r.RecordBatch(), a.schema)
		if err != nil {
			return out, err
		}
		rows += rec.NumRows()
		out = append(out, rec)
	}
	if err := r.Err(); err != nil {
		return out, cut(Spark, err)
	}
	if rows != m.GetRowCount() {
		return out, lake.Errorf(lake.CodeEngineFailed, "a batch of Spark's answer has %d rows, and is said to have %d", rows, m.GetRowCount())
	}
	return slices.Clip(out), nil
}
