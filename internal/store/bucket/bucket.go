package bucket

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// writing are the options of every put. Parts are larger than what most deltas
// have, so that these go in one request.
func writing() *blob.WriterOptions {
	return &blob.WriterOptions{
		IfNotExist: true, ContentType: "application/octet-stream", DisableContentTypeDetection: true,
		BufferSize: partBytes, MaxConcurrency: 4,
	}
}

const partBytes = 8 << 20

// Create implements store.Store.
func (b *Bucket) Create(ctx context.Context, key string, body []byte) error {
	if err := b.begin(ctx, key, "create"); err != nil {
		return err
	}
	return b.put(ctx, key, int64(len(body)), func(ctx context.Context) error {
		return b.bucket.Upload(ctx, b.place.key(key), bytes.NewReader(body), writing())
	})
}

// CreateFrom implements store.Store.
func (b *Bucket) CreateFrom(ctx context.Context, key string, path string) error {
	if err := b.begin(ctx, key, "create"); err != nil {
		return err
	}
	f, err := os.Open(path)
	if err != nil {
		return fileFailed(key, err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return fileFailed(key, err)
	}
	if !fi.Mode().IsRegular() {
		return fileFailed(key, fmt.Errorf("%s is not a file", path))
	}
	return b.put(ctx, key, fi.Size(), func(ctx context.Context) error {
		return b.bucket.Upload(ctx, b.place.key(key), io.NewSectionReader(f, 0, fi.Size()), writing())
	})
}

func fileFailed(key string, err error) error {
	return lake.Errorf(lake.CodeUnavailable, "%s: read the file to be put: %w", key, err).
		WithHint("look at the state folder and its disk; nothing was changed")
}

// Get implements store.Store.
func (b *Bucket) Get(ctx context.Context, key string) ([]byte, error) {
	if err := b.begin(ctx, key, "get"); err != nil {
		return nil, err
	}
	var body []byte
	err := b.repeated(ctx, key, "get", 0, func(ctx context.Context) error {
		r, err := b.bucket.NewReader(ctx, b.place.key(key), nil)
		if err != nil {
			return err
		}
		defer r.Close()
		body, err = io.ReadAll(r)
		if err == nil && int64(len(body)) != r.Size() {
			err = io.ErrUnexpectedEOF
		}
		return err
	})
	return body, err
}

// Stat implements store.Store.
func (b *Bucket) Stat(ctx context.Context, key string) (store.Info, error) {
	if err := b.begin(ctx, key, "stat"); err != nil {
		return store.Info{}, err
	}
	var info store.Info
	err := b.repeated(ctx, key, "stat", 0, func(ctx context.Context) error {
		a, err := b.bucket.Attributes(ctx, b.place.key(key))
		if err != nil {
			return err
		}
		tag := fmt.Sprintf("%x", a.MD5)
		if b.s3 != nil {
			tag = a.ETag
		}
		info = infoOf(key, a.Size, a.ModTime, tag)
		return nil
	})
	return info, err
}

// infoOf describes an object as both Stat and List see it: some stores round the
// time to seconds in one of the two.
func infoOf(key string, size int64, modified time.Time, tag string) store.Info {
	at := modified.UTC().Truncate(time.Second)
	return store.Info{Key: key, Size: size, ModTime: at, Identity: fmt.Sprintf("%d:%d:%s", size, at.Unix(), strings.Trim(tag, `"`))}
}

// Delete implements store.Store.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	if err := b.begin(ctx, key, "delete"); err != nil {
		return err
	}
	err := b.repeated(ctx, key, "delete", 0, func(ctx context.Context) error {
		return b.bucket.Delete(ctx, b.place.key(key))
	})
	failpoint.Hit("bucket.deleted")
	if lake.CodeOf(err) == lake.CodeNotFound {
		return nil
	}
	return err
}

// S3 is the client under an s3:// bucket, nil under another.
func (b *Bucket) S3() *s3.Client { return b.s3 }
