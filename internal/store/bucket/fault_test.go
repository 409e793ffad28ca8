package bucket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/store"
	"tarn/internal/store/bucket"
	"tarn/internal/store/s3test"
)

func openAt(t *testing.T, endpoint, name string, timeout time.Duration) *bucket.Bucket {
	t.Helper()
	b, err := bucket.Open(context.Background(), bucket.Place{Scheme: bucket.SchemeS3, Bucket: name},
		bucket.Options{Endpoint: endpoint, PathStyle: true, Timeout: timeout, Scratch: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// commits is how many commits a test makes: TARN_TEST_COMMITS, or few.
func commits() int {
	if n, err := strconv.Atoi(os.Getenv("TARN_TEST_COMMITS")); err == nil {
		return n
	}
	return 120
}

// delta is what a commit of these tests writes.
type delta struct {
	UUID   string
	Writer int
	Value  int
}

// Writers take numbered keys one after the other, as committers do, over a way on
// which answers get lost. Each commit that was acknowledged is there once, and what
// was not is there at most once.
func TestAmbiguousCommits(t *testing.T) {
	s := s3test.Start(t)
	faults := map[string]func(t *testing.T) (endpoint string, done func() string){
		"our proxy": func(t *testing.T) (string, func() string) {
			p := s3test.NewProxy(t, s)
			var mu sync.Mutex
			seed := rand.Uint64()
			rng := rand.New(rand.NewPCG(seed, 0))
			p.Do(func(*http.Request) s3test.Fault {
				mu.Lock()
				defer mu.Unlock()
				if rng.IntN(3) > 0 {
					return s3test.Pass
				}
				return s3test.Faults[rng.IntN(len(s3test.Faults))]
			})
			return p.URL, func() string { return fmt.Sprintf("seed %d, %d faults", seed, p.Count.Load()) }
		},
		"toxiproxy": func(t *testing.T) (string, func() string) {
			x := s3test.NewToxic(t, s)
			x.Add(t, `{"name":"late","type":"latency","stream":"downstream","attributes":{"latency":5,"jitter":20}}`)
			x.Add(t, `{"name":"cut","type":"limit_data","stream":"downstream","toxicity":0.5,"attributes":{"bytes":700}}`)
			x.Add(t, `{"name":"end","type":"reset_peer","stream":"upstream","toxicity":0.2,"attributes":{"timeout":60}}`)
			return x.URL, func() string { return "latency, jitter, cut and reset connections" }
		},
	}
	for name, start := range faults {
		t.Run(name, func(t *testing.T) {
			endpoint, done := start(t)
			bucketName := s.NewBucket(t)
			const writers = 3
			began := time.Now()
			var mu sync.Mutex
			acked := map[delta]string{} // to its key
			unsettled := 0
			var wg sync.WaitGroup
			for w := range writers {
				wg.Go(func() {
					b := openAt(t, endpoint, bucketName, 400*time.Millisecond)
					next := 1
					for v := range commits() / writers {
						d := delta{uuid.NewString(), w, v}
						key, tries := commit(t, b, d, &next)
						mu.Lock()
						acked[d] = key
						unsettled += tries
						mu.Unlock()
					}
				})
			}
			wg.Wait()
			direct := openAt(t, s.URL, bucketName, time.Minute)
			seen := map[string]bool{}
			there := 0
			for info, err := range direct.List(t.Context(), "log/", "") {
				if err != nil {
					t.Fatal(err)
				}
				body, err := direct.Get(t.Context(), info.Key)
				if err != nil {
					t.Fatal(err)
				}
				var d delta
				if err := json.Unmarshal(body, &d); err != nil {
					t.Fatal(err)
				}
				if seen[d.UUID] {
					t.Errorf("%s: %+v is doubled", info.Key, d)
				}
				seen[d.UUID] = true
				if there++; acked[d] != info.Key {
					t.Errorf("%s holds %+v, acknowledged as %q", info.Key, d, acked[d])
				}
			}
			if there != len(acked) || there != commits()/writers*writers {
				t.Errorf("%d commits were acknowledged, %d are there", len(acked), there)
			}
			t.Logf("%d commits in %s, %d had to be settled again; %s", there, time.Since(began).Round(time.Millisecond), unsettled, done())
		})
	}
}

// commit creates d under the next free number, settling what is unknown.
func commit(t *testing.T, b *bucket.Bucket, d delta, next *int) (key string, again int) {
	body, _ := json.Marshal(d)
	same := func(existing []byte) bool { return bytes.Equal(existing, body) }
	for {
		key := fmt.Sprintf("log/%020d", *next)
		for { // once unknown, the same key is tried until it is known
			err := store.CreateSettled(t.Context(), b, key, body, same)
			if err == nil {
				*next++
				return key, again
			}
			if errors.Is(err, store.ErrExists) {
				break
			}
			if !errors.Is(err, lake.ErrUnknownOutcome) && !errors.Is(err, lake.ErrUnavailable) {
				t.Errorf("%s: %v", key, err)
				return "", again
			}
			again++
			time.Sleep(time.Millisecond)
		}
		*next++
	}
}

// Reads go through the same way, and what they give is whole.
func TestReadsOverABadWay(t *testing.T) {
	s := s3test.Start(t)
	name := s.NewBucket(t)
	direct := openAt(t, s.URL, name, time.Minute)
	body := bytes.Repeat([]byte("0123456789abcdef"), 20_000)
	if err := direct.Create(t.Context(), "base/1.parquet", body); err != nil {
		t.Fatal(err)
	}
	p := s3test.NewProxy(t, s)
	for _, fault := range s3test.Faults {
		var n int
		var mu sync.Mutex
		p.Do(func(*http.Request) s3test.Fault { // every other request
			mu.Lock()
			defer mu.Unlock()
			if n++; n%2 == 0 {
				return s3test.Pass
			}
			return fault
		})
		b := openAt(t, p.URL, name, time.Second)
		got, err := b.Get(t.Context(), "base/1.parquet")
		if err != nil || !bytes.Equal(got, body) {
			t.Errorf("fault %d: get: %d bytes, %v", fault, len(got), err)
		}
		o, err := b.Open(t.Context(), "base/1.parquet")
		if err != nil {
			t.Errorf("fault %d: open: %v", fault, err)
			continue
		}
		if got, err := io.ReadAll(o); err != nil || !bytes.Equal(got, body) {
			t.Errorf("fault %d: read: %d bytes, %v", fault, len(got), err)
		}
		for info, err := range b.List(t.Context(), "base/", "") {
			if err != nil || info.Size != int64(len(body)) {
				t.Errorf("fault %d: list: %+v, %v", fault, info, err)
			}
		}
	}
}

// A store that takes every put, whatever its condition, is refused.
func TestStoreWithoutConditionalPutsIsRefused(t *testing.T) {
	s := s3test.Start(t)
	name := s.NewBucket(t)
	for what, deaf := range map[string]func(r *http.Request) bool{
		"puts":  func(r *http.Request) bool { return r.Method == http.MethodPut },
		"parts": func(r *http.Request) bool { return r.Method == http.MethodPost && r.URL.Query().Has("uploadId") },
	} {
		t.Run(what, func(t *testing.T) {
			p := s3test.NewProxy(t, s)
			p.Deaf(deaf)
			err := openAt(t, p.URL, name, time.Minute).Probe(t.Context())
			if lake.CodeOf(err) != lake.CodeUnsupported || lake.HintOf(err) == "" || !strings.Contains(err.Error(), "If-None-Match") {
				t.Errorf("%v", err)
			}
		})
	}
}

// The breaker turns an outage into quick errors, and notices its end.
func TestBreaker(t *testing.T) {
	s := s3test.Start(t)
	name := s.NewBucket(t)
	p := s3test.NewProxy(t, s)
	b := openAt(t, p.URL, name, 100*time.Millisecond)
	if err := b.Create(t.Context(), "a/1", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if b.Health().Down || b.Refusal() != nil {
		t.Error("down before anything happened")
	}
	p.Do(func(*http.Request) s3test.Fault { return s3test.Silence })
	for !b.Health().Down {
		if _, err := b.Get(t.Context(), "a/1"); !errors.Is(err, lake.ErrUnavailable) {
			t.Fatalf("get in an outage: %v", err)
		}
	}
	calls := p.Count.Load()
	refused := 0
	for range 20 {
		if err := b.Create(t.Context(), "a/2", []byte("x")); errors.Is(err, lake.ErrUnavailable) && lake.HintOf(err) != "" {
			refused++
		}
	}
	if made := p.Count.Load() - calls; refused < 15 || made > 5 {
		t.Errorf("%d of 20 creates were refused, %d calls were made", refused, made)
	}
	p.Do(func(*http.Request) s3test.Fault { return s3test.Pass })
	for deadline := time.Now().Add(time.Minute); ; {
		if _, err := b.Get(t.Context(), "a/1"); err == nil {
			break
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(time.Millisecond)
	}
	if b.Health().Down {
		t.Error("still down")
	}
}

// What is not there, and what may not be, are told apart.
func TestAbsentBucketIsNoAbsentObject(t *testing.T) {
	s := s3test.Start(t)
	b := openAt(t, s.URL, "nobody-made-it", time.Minute)
	if _, err := b.Get(t.Context(), "a/1"); !errors.Is(err, lake.ErrUnavailable) {
		t.Errorf("get: %v", err)
	}
	if err := b.Probe(t.Context()); !errors.Is(err, lake.ErrUnavailable) {
		t.Errorf("probe: %v", err)
	}
	t.Setenv("AWS_SECRET_ACCESS_KEY", "wrong")
	b = openAt(t, s.URL, s.NewBucket(t), time.Minute)
	if _, err := b.Get(t.Context(), "a/1"); !errors.Is(err, lake.ErrUnavailable) || !strings.Contains(lake.HintOf(err), "credentials") {
		t.Errorf("get with wrong credentials: %v, %s", err, lake.HintOf(err))
	}
	if err := b.Create(t.Context(), "a/1", nil); !errors.Is(err, lake.ErrUnavailable) {
		t.Errorf("create with wrong credentials: %v", err)
	}
}
