package icebergrest

import (
	"encoding/json"
	"net/http"
	"strings"

	"tarn/internal/lake"
)

// errorAnswer is an error in the shape of Iceberg's OpenAPI.
type errorAnswer struct {
	Error errorModel `json:"error"`
}

type errorModel struct {
	Message string `json:"message"`
	Type    string `json:"type"`
	Code    int    `json:"code"`
}

// kind is what Iceberg calls an error of a code, with its status; 0: as elsewhere.
type kind struct {
	name   string
	status int
}

// kinds are those that clients act upon: 409 CommitFailedException is tried again, 400 and
// 406 are not, 503 was not applied, and after 500 the client looks whether it was.
var kinds = map[lake.Code]kind{
	lake.CodeInvalidRequest:     {"BadRequestException", http.StatusBadRequest},
	lake.CodeRowsInvalid:        {"BadRequestException", http.StatusBadRequest},
	lake.CodeKeyConflict:        {"BadRequestException", http.StatusBadRequest},
	lake.CodeKeyMismatch:        {"BadRequestException", http.StatusBadRequest},
	lake.CodeTooLarge:           {"BadRequestException", http.StatusBadRequest},
	lake.CodeUnauthorized:       {"NotAuthorizedException", 0},
	lake.CodeAccessDenied:       {"ForbiddenException", 0},
	lake.CodeForbidden:          {"ForbiddenException", 0},
	lake.CodeReadOnly:           {"ForbiddenException", 0},
	lake.CodeDatasetNotFound:    {"NoSuchTableException", 0},
	lake.CodeNotFound:           {"NotFoundException", 0},
	codeNoNamespace:             {"NoSuchNamespaceException", http.StatusNotFound},
	codeNoView:                  {"NoSuchViewException", http.StatusNotFound},
	lake.CodeDatasetExists:      {"AlreadyExistsException", 0},
	codeNamespaceExists:         {"AlreadyExistsException", http.StatusConflict},
	codeNotEmpty:                {"NamespaceNotEmptyException", http.StatusConflict},
	lake.CodePreconditionFailed: {"CommitFailedException", http.StatusConflict},
	lake.CodeSchemaChanged:      {"CommitFailedException", http.StatusConflict},
	lake.CodeUnsupported:        {"UnsupportedOperationException", http.StatusNotAcceptable},
	lake.CodeMethodNotAllowed:   {"UnsupportedOperationException", 0},
	lake.CodeRateLimited:        {"TooManyRequestsException", 0},
	lake.CodeOverloaded:         {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeNotReady:           {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeBehind:             {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeUnavailable:        {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeFenced:             {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeOutOfDisk:          {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeOutOfMemory:        {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeCancelled:          {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeDeadline:           {"ServiceUnavailableException", http.StatusServiceUnavailable},
	lake.CodeUnknownOutcome:     {"CommitStateUnknownException", http.StatusInternalServerError},
}

// Codes of this package's own. No client of tarn's HTTP sees them.
const (
	codeNoNamespace     lake.Code = "namespace_not_found"
	codeNamespaceExists lake.Code = "namespace_exists"
	codeNotEmpty        lake.Code = "namespace_not_empty"
	codeNoView          lake.Code = "view_not_found"
)

// fail answers with an error.
func fail(w http.ResponseWriter, r *http.Request, status int, err error) {
	k, ok := kinds[lake.CodeOf(err)]
	if !ok {
		k = kind{"InternalServerError", 0}
	}
	if k.status != 0 {
		status = k.status
	}
	message := err.Error()
	if hint := lake.HintOf(err); hint != "" {
		message += " (" + hint + ")"
	}
	if status == http.StatusServiceUnavailable && w.Header().Get("Retry-After") == "" {
		w.Header().Set("Retry-After", "1")
	}
	if strings.HasSuffix(r.URL.Path, "/oauth/tokens") && status < http.StatusInternalServerError {
		_ = reply(w, status, oauthError{Error: oauthKind(status), Description: message})
		return
	}
	_ = reply(w, status, errorAnswer{errorModel{message, k.name, status}})
}

// reply answers with JSON.
func reply(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n')) // a client that is gone needs no answer
	return nil
}
