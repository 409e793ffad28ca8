package bucket_test

import (
	"fmt"
	"testing"
	"time"

	"tarn/internal/store/bucket"
	"tarn/internal/store/s3test"
)

func BenchmarkCreate2KB(b *testing.B) {
	s := s3test.Start(b)
	at, err := bucket.Open(b.Context(), bucket.Place{Scheme: bucket.SchemeS3, Bucket: s.NewBucket(b)},
		bucket.Options{Endpoint: s.URL, PathStyle: true, Timeout: time.Minute})
	if err != nil {
		b.Fatal(err)
	}
	defer at.Close()
	body := make([]byte, 2048)
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		i++
		if err := at.Create(b.Context(), "deltas/t/"+fmt.Sprint(i), body); err != nil {
			b.Fatal(err)
		}
	}
}
