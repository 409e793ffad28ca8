package handover

import (
	"context"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"tarn/internal/lake"
)

// failure makes of what gRPC gives the error of a query; began says that a part of the
// answer has come.
func (s *spark) failure(ctx context.Context, err error, began bool) error {
	if ctx.Err() != nil {
		return lake.Step("wait for Spark", ctx.Err())
	}
	st := status.Convert(err)
	state, class := sparkReason(st)
	said := firstLine(st.Message())
	switch code := st.Code(); {
	case class == "TABLE_OR_VIEW_NOT_FOUND" || class == "SCHEMA_NOT_FOUND" || strings.Contains(class, "CATALOG_NOT_FOUND"):
		return lake.Errorf(lake.CodeEngineFailed, "Spark does not find it: %s", said).
			WithHint("its catalog %s must be this server's Iceberg catalog: docs/ICEBERG.md", s.catalog)
	case ofTheQuery(state):
		return lake.Errorf(lake.CodeSQLInvalid, "Spark: %s", said).WithHint("what is handed over has to mean something in Spark's SQL too; without engine it is answered here")
	case code == codes.Unauthenticated || code == codes.PermissionDenied:
		return lake.Errorf(lake.CodeEngineUnavailable, "Spark at %s does not let tarn in: %s", s.at, said).WithHint("look at the token in spark_url")
	case code == codes.Unavailable && !began:
		return unreachable(Spark, s.at.String(), st.Err())
	case code == codes.Unavailable || code == codes.Canceled:
		return cut(Spark, st.Err())
	}
	return lake.Errorf(lake.CodeEngineFailed, "Spark: %s", said)
}

// sparkReason is what Spark says of an error beside its words: the state of SQL, and
// its own name of the kind.
func sparkReason(st *status.Status) (state, class string) {
	for _, d := range st.Details() {
		if info, ok := d.(*errdetails.ErrorInfo); ok {
			return info.GetMetadata()["sqlState"], info.GetMetadata()["errorClass"]
		}
	}
	return "", ""
}

// ofTheQuery says whether a state of SQL is one that the text, or the values that it
// works on, are the reason of.
func ofTheQuery(state string) bool {
	return len(state) == 5 && strings.Contains("07 0A 21 22 23 42", state[:2])
}

// firstLine is what a message says before the plan or the text that it repeats.
func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	const most = 1000
	if len(line) > most {
		line = strings.ToValidUTF8(line[:most], "") + "…"
	}
	return strings.TrimRight(line, "; ")
}
