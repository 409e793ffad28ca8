package worker

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"tarn/internal/lake"
)

func TestImages(t *testing.T) {
	eachServing(t, func(t *testing.T, l *lakeOfOne, o Options) {
		o.Open.ImageBudgetBytes = 64 << 20
		s := start(t, o, l.history.stream)
		l.upsert(1, 1000, "a")
		if n, err := s.ProjectImage(t.Context(), l.uuid); err != nil || n <= 0 {
			t.Fatal(n, err)
		}
		m, err := s.LoadImage(t.Context(), l.uuid)
		if err != nil || m.State != ImageHot || m.Rows != 1000 || m.Sequence != 1 || m.Bytes <= m.FilterBytes || m.LoadedAt.IsZero() {
			t.Fatalf("%+v %v", m, err)
		}
		if again, err := s.LoadImage(t.Context(), l.uuid); err != nil || !again.LoadedAt.Equal(m.LoadedAt) {
			t.Fatalf("%+v %v", again, err)
		}
		see := l.upsert(500, 1, "changed")
		text, res, err := ask(t.Context(), s, QueryRequest{SQL: "SELECT v FROM d WHERE id = 500", See: see})
		if err != nil || text != "{\"v\":\"changed\"}\n" || res.Head.ServedFrom["d"] != lake.ServedFromImage {
			t.Fatal(text, res, err)
		}
		all, err := s.Images(t.Context())
		if err != nil || all.BudgetBytes != 64<<20 || all.Generation != 1 || len(all.Images) != 1 || all.Images[0].State != ImageHot || all.UsedBytes < all.Images[0].Bytes {
			t.Fatalf("%+v %v", all, err)
		}
		if m, err = s.DropImage(t.Context(), l.uuid); err != nil || m.State != ImageCold {
			t.Fatalf("%+v %v", m, err)
		}
		_, err = s.LoadImage(t.Context(), "nobody")
		code(t, err, lake.CodeDatasetNotFound)
		if _, err := s.LoadImage(t.Context(), l.uuid); err != nil {
			t.Fatal(err)
		}
		// What a worker held dies with it.
		s.Kill()
		for s.Generation() < 2 {
			time.Sleep(time.Millisecond)
		}
		if all, err = s.Images(t.Context()); err != nil || all.Generation != 2 || all.UsedBytes != 0 || len(all.Images) != 0 {
			t.Fatalf("%+v %v", all, err)
		}
	})
}

func TestImageThatDoesNotFit(t *testing.T) {
	eachServing(t, func(t *testing.T, l *lakeOfOne, o Options) {
		o.Open.ImageBudgetBytes = 1 << 20
		s := start(t, o, l.history.stream)
		l.upsert(1, 50_000, "a")
		m, err := s.LoadImage(t.Context(), l.uuid)
		code(t, err, lake.CodeOutOfMemory)
		if m.State != ImageCold || m.Projected <= 0 || m.Reason == "" {
			t.Fatalf("%+v", m)
		}
	})
}

// Workers die under loads, under applies to a hot image and under clients: no
// change is lost, whatever answers. (I1, I2)
func TestImageKills(t *testing.T) {
	eachServing(t, func(t *testing.T, l *lakeOfOne, o Options) {
		o.Open.ImageBudgetBytes = 256 << 20
		s := start(t, o, l.history.stream)
		l.upsert(0, 20_000, "first")
		stop := make(chan struct{})
		var wg sync.WaitGroup
		hot := 0
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := s.LoadImage(context.Background(), l.uuid)
				switch c := lake.CodeOf(err); {
				case err == nil:
					hot++
				case c != lake.CodeWorkerDied && c != lake.CodeNotReady:
					t.Errorf("%v (%s)", err, c)
					return
				}
				time.Sleep(20 * time.Millisecond)
				if _, err := s.DropImage(context.Background(), l.uuid); err != nil && lake.CodeOf(err) != lake.CodeWorkerDied && lake.CodeOf(err) != lake.CodeNotReady {
					t.Error(err)
					return
				}
			}
		})
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
				}
				see := l.upsert(10_000+i, 10_001, fmt.Sprint("w", i)) // mostly known keys
				text, _, err := ask(context.Background(), s, QueryRequest{See: see, SQL: fmt.Sprintf("SELECT count(*) AS n, count(*) FILTER (v = 'w%d') AS w FROM d", i)})
				if want := fmt.Sprintf("{\"n\":%d,\"w\":10001}\n", 20_001+i); err != nil || text != want {
					t.Errorf("after write %d: %q, %v", i, text, err)
					return
				}
			}
		})
		killUnderClients(t, s, 3, func(client int) string {
			return fmt.Sprintf("SELECT count(*), %d AS client FROM d WHERE id < 100", client)
		})
		close(stop)
		wg.Wait()
		if hot == 0 {
			t.Error("no load ended well")
		}
	})
}
