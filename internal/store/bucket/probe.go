package bucket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/google/uuid"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
	"tarn/internal/store"
)

// probePrefix is where Probe puts what it tries with; nothing else is there.
const probePrefix = "probe/"

// Probe finds out whether the store really honours conditional puts, as everything
// stands on them: a second put of a key must be refused and leave the first, also
// one of many parts. It deletes what it made. lake.CodeUnsupported: it does not.
func (b *Bucket) Probe(ctx context.Context) (err error) {
	key := probePrefix + uuid.NewString()
	first, second := []byte("the first"), []byte("the second, which must be refused")
	same := func(existing []byte) bool { return bytes.Equal(existing, first) }
	if err := store.CreateSettled(ctx, b, key, first, same); err != nil {
		return lake.Step("try a put to "+b.Root(), err)
	}
	failpoint.Hit("bucket.probe-put")
	defer func() { err = errors.Join(err, lake.Step("clear up after the probe", b.clearProbes(ctx, key))) }()
	puts := []func() error{func() error { return b.Create(ctx, key, second) }}
	if b.s3 != nil {
		puts = append(puts, func() error { return b.multipart(ctx, key, second) })
	}
	for i, put := range puts {
		err := put()
		switch {
		case err == nil:
			return b.dishonoured(i == 1, "it took a second put of one key")
		case !errors.Is(err, store.ErrExists) && !errors.Is(err, lake.ErrUnknownOutcome):
			return lake.Step("try a conditional put to "+b.Root(), err)
		}
		got, err := b.Get(ctx, key)
		if err != nil {
			return lake.Step("read back the probe", err)
		}
		if !same(got) {
			return b.dishonoured(i == 1, "a second put of one key replaced the first")
		}
	}
	return nil
}

// probeAge is how old a probe is that nobody waits for any more: its server was killed.
const probeAge = time.Hour

// clearProbes deletes a probe, and those that servers left which were killed. How old
// they are is by the store's own clock.
func (b *Bucket) clearProbes(ctx context.Context, own string) error {
	var all []store.Info
	var now time.Time
	for info, err := range b.List(ctx, probePrefix, "") {
		if err != nil {
			return errors.Join(err, b.Delete(ctx, own))
		}
		if all = append(all, info); info.Key == own {
			now = info.ModTime
		}
	}
	errs := []error{b.Delete(ctx, own)}
	for _, info := range all {
		if info.Key != own && now.Sub(info.ModTime) > probeAge {
			errs = append(errs, b.Delete(ctx, info.Key))
		}
	}
	return errors.Join(errs...)
}

func (b *Bucket) dishonoured(parts bool, what string) error {
	how := "conditional puts"
	if parts {
		how = "conditional puts of many parts"
	}
	return lake.Errorf(lake.CodeUnsupported, "the bucket %s does not honour %s (If-None-Match: *): %s", b.Root(), how, what).
		WithHint("a lake there could lose what it acknowledged; use a store that does, as AWS S3, Google Cloud Storage, Azure and versitygw do; a newer version of this one may")
}

// multipart puts a body as an upload of one part, which is completed only if the
// key is free.
func (b *Bucket) multipart(ctx context.Context, key string, body []byte) error {
	bucket, name := aws.String(b.place.Bucket), aws.String(b.place.key(key))
	return b.put(ctx, key, int64(len(body)), func(ctx context.Context) error {
		made, err := b.s3.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{Bucket: bucket, Key: name})
		if err != nil {
			return err
		}
		abort := func(err error) error {
			_, aborted := b.s3.AbortMultipartUpload(context.WithoutCancel(ctx), &s3.AbortMultipartUploadInput{Bucket: bucket, Key: name, UploadId: made.UploadId})
			if aborted != nil {
				return fmt.Errorf("%w (and the upload was not aborted: %v)", err, aborted)
			}
			return err
		}
		number := aws.Int32(1)
		part, err := b.s3.UploadPart(ctx, &s3.UploadPartInput{Bucket: bucket, Key: name, UploadId: made.UploadId, PartNumber: number, Body: bytes.NewReader(body)})
		if err != nil {
			return abort(err)
		}
		_, err = b.s3.CompleteMultipartUpload(ctx, &s3.CompleteMultipartUploadInput{
			Bucket: bucket, Key: name, UploadId: made.UploadId, IfNoneMatch: aws.String("*"),
			MultipartUpload: &types.CompletedMultipartUpload{Parts: []types.CompletedPart{{
				ETag: part.ETag, PartNumber: number,
				ChecksumCRC32: part.ChecksumCRC32, ChecksumCRC32C: part.ChecksumCRC32C, ChecksumCRC64NVME: part.ChecksumCRC64NVME,
			}}},
		})
		if err != nil {
			return abort(err)
		}
		return nil
	})
}
