package bucket

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/logging"
	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	"gocloud.dev/blob/s3blob"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// Options say how to reach a bucket; credentials come from where the provider's
// own tools have them: environment, profile, the machine's role.
type Options struct {
	Endpoint  string // of an S3 store that is not AWS; "": by the environment, else AWS
	Region    string // "": by the environment or the profile
	PathStyle bool   // http://endpoint/bucket instead of http://bucket.endpoint

	// Others says that others own the objects, which may have keys that a lake's cannot.
	// Such a store is to be read alone.
	Others bool

	// Timeout is for one call; what carries bytes gets a second more for each MiB.
	// 0: DefaultTimeout.
	Timeout time.Duration
	Scratch string // folder for files that Local gives; "": the system's
	Log     *slog.Logger
}

// DefaultTimeout is the time limit of one call where none is set.
const DefaultTimeout = 5 * time.Second

// Bucket is a store.Store in a bucket.
type Bucket struct {
	place   Place
	bucket  *blob.Bucket
	s3      *s3.Client // nil for other stores
	opts    Options
	breaker *breaker
	end     func() // lets go of connections
	copies  store.Copies
}

var _ store.Store = (*Bucket)(nil)

// Open reaches the bucket of a place and asks it once whether it is there.
func Open(ctx context.Context, p Place, o Options) (*Bucket, error) {
	o = o.withDefaults()
	b := &Bucket{place: p}
	var err error
	switch p.Scheme {
	case SchemeS3:
		err = b.openS3(ctx, o)
	default:
		if o.Endpoint != "" {
			return nil, lake.Errorf(lake.CodeInvalidRequest, "the setting endpoint is for s3:// alone").
				WithHint("set STORAGE_EMULATOR_HOST for gs://, or AZURE_STORAGE_DOMAIN, AZURE_STORAGE_PROTOCOL and AZURE_STORAGE_IS_LOCAL_EMULATOR for azblob://")
		}
		b.bucket, err = blob.OpenBucket(ctx, p.Scheme+"://"+p.Bucket)
		b.end = func() {}
	}
	var known *lake.Error
	if errors.As(err, &known) {
		return nil, err
	}
	if err != nil {
		return nil, lake.Errorf(lake.CodeUnavailable, "open the bucket %s: %w", p.Root(), err).
			WithHint("look at the credentials and the settings endpoint, region and path_style")
	}
	return b.with(o), nil
}

// New is a store in a bucket that is open already, and stays the caller's.
func New(bucket *blob.Bucket, p Place, o Options) *Bucket {
	b := &Bucket{place: p, bucket: bucket, end: func() {}}
	return b.with(o.withDefaults())
}

func (b *Bucket) with(o Options) *Bucket {
	b.opts = o
	b.breaker = newBreaker(o.Log, time.Now)
	return b
}

func (o Options) withDefaults() Options {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.Log == nil {
		o.Log = slog.Default()
	}
	return o
}

// openS3 makes a client that sends each request once: the SDK's own repetition of
// a put whose answer was lost would end in a 412 on what we wrote ourselves.
func (b *Bucket) openS3(ctx context.Context, o Options) error {
	load := []func(*config.LoadOptions) error{
		config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
	}
	if o.Region != "" {
		load = append(load, config.WithRegion(o.Region))
	}
	cfg, err := config.LoadDefaultConfig(ctx, load...)
	if err != nil {
		return err
	}
	transport := transportOf(cfg, o)
	b.end = transport.CloseIdleConnections
	cfg.HTTPClient = &http.Client{Transport: transport, CheckRedirect: temporaryOnly}
	if cfg.Region == "" {
		cfg.Region = "us-east-1" // stores that are not AWS have none; AWS says which it is
	}
	if o.Endpoint != "" {
		if u, err := url.Parse(o.Endpoint); err != nil || u.Host == "" {
			return lake.Errorf(lake.CodeInvalidRequest, "the setting endpoint is %q and must be a URL", o.Endpoint).
				WithHint("such as https://minio.example.com:9000")
		}
	}
	b.s3 = s3.NewFromConfig(cfg, func(s *s3.Options) {
		if o.Endpoint != "" {
			s.BaseEndpoint = aws.String(o.Endpoint)
		}
		s.UsePathStyle = o.PathStyle
		s.Retryer = aws.NopRetryer{}
		s.DisableLogOutputChecksumValidationSkipped = true
		s.Logger = logging.Nop{} // what goes wrong comes as an error
	})
	b.bucket, err = s3blob.OpenBucket(ctx, b.s3, b.place.Bucket, &s3blob.Options{RequestChecksumCalculation: cfg.RequestChecksumCalculation})
	return err
}

// transportOf is the SDK's own transport, which knows AWS_CA_BUNDLE, with our limits.
func transportOf(cfg aws.Config, o Options) *http.Transport {
	built, ok := cfg.HTTPClient.(*awshttp.BuildableClient)
	if !ok {
		built = awshttp.NewBuildableClient()
	}
	t := built.GetTransport()
	t.DialContext = (&net.Dialer{Timeout: min(o.Timeout, 5*time.Second)}).DialContext
	t.TLSHandshakeTimeout = min(o.Timeout, 5*time.Second)
	t.MaxIdleConns, t.MaxIdleConnsPerHost = 256, 128
	return t
}

// temporaryOnly follows the redirects that keep method and body, as the SDK's own
// client does: the others are errors that say which region is meant.
func temporaryOnly(r *http.Request, _ []*http.Request) error {
	if r.Response != nil && (r.Response.StatusCode == http.StatusTemporaryRedirect || r.Response.StatusCode == http.StatusPermanentRedirect) {
		return nil
	}
	return http.ErrUseLastResponse
}

// Root is the lake's place as other engines write it.
func (b *Bucket) Root() string { return b.place.Root() }

// Close lets go of connections, and of files that Local gave and nobody released.
func (b *Bucket) Close() error {
	b.copies.Close()
	b.end()
	return nil
}
