package bucket_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
	"gocloud.dev/blob/memblob"

	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/store/s3test"
	"tarn/internal/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, s3test.ToxicsStay()...) }

func TestContractInMemory(t *testing.T) {
	for _, prefix := range []string{"", "team/lake"} {
		t.Run("prefix "+prefix, func(t *testing.T) {
			storetest.Run(t, func(t *testing.T) store.Store {
				mem := memblob.OpenBucket(nil)
				t.Cleanup(func() { mem.Close() })
				return bucket.New(mem, bucket.Place{Scheme: "s3", Bucket: "mem", Prefix: prefix}, bucket.Options{Scratch: t.TempDir()})
			})
		})
	}
}

func TestContractOnS3(t *testing.T) {
	s := s3test.Start(t)
	name := s.NewBucket(t)
	n := 0
	storetest.Run(t, func(t *testing.T) store.Store {
		n++
		return open(t, s.URL, name, string(rune('a'+n))+"/lake")
	})
}

func TestContractOnGCS(t *testing.T) {
	contractOn(t, bucket.Place{Scheme: bucket.SchemeGCS, Bucket: s3test.StartGCS(t)})
}

func TestContractOnAzure(t *testing.T) {
	contractOn(t, bucket.Place{Scheme: bucket.SchemeAzure, Bucket: s3test.StartAzure(t)})
}

// contractOn runs the store's suite under prefixes of a bucket, and the probe.
func contractOn(t *testing.T, p bucket.Place) {
	t.Helper()
	n := 0
	open := func(t *testing.T) *bucket.Bucket {
		n++
		p.Prefix = fmt.Sprintf("%d/lake", n)
		b, err := bucket.Open(t.Context(), p, bucket.Options{Scratch: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	storetest.Run(t, func(t *testing.T) store.Store { return open(t) })
	b := open(t)
	defer b.Close()
	if err := b.Probe(t.Context()); err != nil {
		t.Error(err)
	}
}

func open(t *testing.T, endpoint, name, prefix string) *bucket.Bucket {
	t.Helper()
	p := bucket.Place{Scheme: bucket.SchemeS3, Bucket: name, Prefix: prefix}
	b, err := bucket.Open(context.Background(), p, bucket.Options{Endpoint: endpoint, PathStyle: true, Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestProbe(t *testing.T) {
	s := s3test.Start(t)
	b := open(t, s.URL, s.NewBucket(t), "")
	if err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	for info, err := range b.List(t.Context(), "", "") {
		t.Errorf("left: %v, %v", info.Key, err)
	}
}

// TestProbeOfAKilledServer: what a probe left whose server was killed goes with a later
// one; that of a server which is opening the lake now stays.
func TestProbeOfAKilledServer(t *testing.T) {
	s := s3test.Start(t)
	name := s.NewBucket(t)
	b := open(t, s.URL, name, "lake")
	for _, key := range []string{"probe/old", "probe/new"} {
		if err := b.Create(t.Context(), key, []byte("the first")); err != nil {
			t.Fatal(err)
		}
	}
	long := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(filepath.Join(s.Dir, name, "lake/probe/old"), long, long); err != nil {
		t.Fatal(err)
	}
	if err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left []string
	for info, err := range b.List(t.Context(), "", "") {
		left = append(left, info.Key)
		if err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(left) != "[probe/new]" {
		t.Errorf("left: %v", left)
	}
}
