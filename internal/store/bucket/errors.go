package bucket

import (
	"errors"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"gocloud.dev/gcerrors"
	"google.golang.org/api/googleapi"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// verdict is what the outcome of a call says.
type verdict int

const (
	fine    verdict = iota
	absent          // there is no such object
	taken           // the condition of a put did not hold
	refused         // the store said no, and did nothing
	missed          // no answer, or one that says nothing: what was to be done may be done
)

// judge reads the outcome of a call. sent says whether a connection was had: a
// put that never was has not gone in. gocloud takes a bucket that is not there,
// and on Google Cloud a lack of rights, for an absent object: here they are not.
func judge(err error, sent bool) verdict {
	status := statusOf(err)
	switch code := gcerrors.Code(err); {
	case err == nil:
		return fine
	case code == gcerrors.FailedPrecondition || code == gcerrors.AlreadyExists || status == http.StatusPreconditionFailed:
		return taken
	case code == gcerrors.NotFound && status == http.StatusNotFound && !noBucket(err):
		return absent
	case code == gcerrors.NotFound && status == 0 && !sent && !strings.Contains(err.Error(), "no such host"):
		return absent // memblob, which sends nothing
	case status == http.StatusRequestTimeout || status == http.StatusConflict || status == http.StatusTooManyRequests || status == http.StatusTooEarly:
		return missed
	case status >= 400 && status < 500:
		return refused
	}
	return missed
}

// statusOf is the HTTP status of an answer, 0 where there was none.
func statusOf(err error) int {
	var aws interface{ HTTPStatusCode() int }
	var azure *azcore.ResponseError
	var google *googleapi.Error
	switch {
	case errors.As(err, &aws):
		return aws.HTTPStatusCode()
	case errors.As(err, &azure):
		return azure.StatusCode
	case errors.As(err, &google):
		return google.Code
	case gcerrors.Code(err) == gcerrors.NotFound && strings.Contains(err.Error(), "storage: object doesn't exist"):
		return http.StatusNotFound // Google's client says so in a value of its own
	}
	return 0
}

func noBucket(err error) bool {
	var aws smithy.APIError
	var azure *azcore.ResponseError
	if errors.As(err, &aws) && aws.ErrorCode() == "NoSuchBucket" {
		return true
	}
	return errors.As(err, &azure) && azure.ErrorCode == "ContainerNotFound" || strings.Contains(err.Error(), "storage: bucket doesn't exist")
}

// notFound is the error of an absent object.
func notFound(key, step string, err error) error {
	return lake.Errorf(lake.CodeNotFound, "%s: %s: %w", key, step, err)
}

func exists(key string) error { return lake.Errorf(store.CodeExists, "%s exists already", key) }

// unavailable is the error of a call that changed nothing.
func unavailable(key, step string, err error) error {
	e := lake.Errorf(lake.CodeUnavailable, "%s: %s: %w", key, step, err)
	if s := statusOf(err); s == http.StatusForbidden || s == http.StatusUnauthorized {
		return e.WithHint("look at the credentials and their rights: to get, put, delete and list objects; nothing was changed")
	}
	return e.WithHint("look at the bucket, the network and the settings endpoint, region and path_style; nothing was changed")
}

// unknown is the error of a put that may have gone in.
func unknown(key, step string, err error) error {
	return lake.Errorf(lake.CodeUnknownOutcome, "%s: %s: whether it went in is not known: %w", key, step, err).
		WithHint("repeat the request with the same Idempotency-Key; if it stays so, look at the bucket and the network")
}
