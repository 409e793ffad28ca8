package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"gocloud.dev/blob"

	"tarn/internal/lake"
	"tarn/internal/store"
)

const pageSize = 1000

// List implements store.Store, a page a call. S3 and Google Cloud are asked for
// what comes after `after` alone; elsewhere it is left out here.
func (b *Bucket) List(ctx context.Context, prefix, after string) iter.Seq2[store.Info, error] {
	return func(yield func(store.Info, error) bool) {
		if err := b.checkPrefix(prefix); err != nil {
			yield(store.Info{}, err)
			return
		}
		if err := ctx.Err(); err != nil {
			yield(store.Info{}, lake.Step("list "+prefix, err))
			return
		}
		opts := &blob.ListOptions{Prefix: b.listPrefix(prefix), BeforeList: b.startAfter(prefix, after)}
		token := blob.FirstPageToken
		for len(token) > 0 {
			var page []*blob.ListObject
			var next []byte
			err := b.repeated(ctx, prefix, "list", 0, func(ctx context.Context) (err error) {
				page, next, err = b.bucket.ListPage(ctx, token, pageSize, opts)
				if errors.Is(err, io.EOF) {
					page, next, err = nil, nil, nil
				}
				return err
			})
			if err != nil {
				yield(store.Info{}, err)
				return
			}
			for _, o := range page {
				key, ok := b.place.cut(o.Key)
				if !ok || o.IsDir || key <= after || !strings.HasPrefix(key, prefix) || b.checkKey(key) != nil {
					continue
				}
				if !yield(b.listed(key, o), nil) {
					return
				}
			}
			token = next
		}
	}
}

func (b *Bucket) listed(key string, o *blob.ListObject) store.Info {
	tag := fmt.Sprintf("%x", o.MD5)
	if b.s3 != nil {
		var object types.Object
		if o.As(&object) {
			tag = aws.ToString(object.ETag)
		}
	}
	return infoOf(key, o.Size, o.ModTime, tag)
}

// checkPrefix refuses a prefix that no key can start with.
func (b *Bucket) checkPrefix(prefix string) error {
	if i := strings.LastIndexByte(prefix, '/'); i > 0 {
		return b.checkKey(prefix[:i])
	}
	return nil
}

func (b *Bucket) listPrefix(prefix string) string {
	if b.place.Prefix == "" {
		return prefix
	}
	return b.place.Prefix + "/" + prefix
}

// startAfter tells the store where to begin. It never begins before the prefix.
func (b *Bucket) startAfter(prefix, after string) func(as func(any) bool) error {
	if after <= prefix {
		return nil
	}
	from := b.place.key(after)
	return func(as func(any) bool) error {
		var v2 *s3.ListObjectsV2Input
		var google *storage.Query
		switch {
		case as(&v2):
			if v2.ContinuationToken == nil {
				v2.StartAfter = aws.String(from)
			}
		case as(&google):
			google.StartOffset = from // itself included
		}
		return nil
	}
}
