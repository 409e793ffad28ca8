package job

import (
	"os"
	"time"
)

// progressEvery is how often progress is reported.
const progressEvery = 500 * time.Millisecond

// meter reports, as the progress of a step, how much of a file has been read.
type meter struct {
	progress Progress
	report   func(Progress)
	next     time.Time
}

// meter begins a step that reads a file.
func (s *session) meter(step string) *meter {
	s.step(step)
	return &meter{progress: Progress{Step: step}, report: s.report}
}

// over gives the file so that what is read of it is seen.
func (m *meter) over(f *os.File) *metered {
	if info, err := f.Stat(); err == nil {
		m.progress.Total = info.Size()
	}
	return &metered{f, m}
}

func (m *meter) add(n int) {
	m.progress.Done = min(m.progress.Done+int64(n), m.progress.Total)
	if now := time.Now(); now.After(m.next) {
		m.report(m.progress)
		m.next = now.Add(progressEvery)
	}
}

// metered is a file under a meter. Parquet reads at random, and some bytes twice.
type metered struct {
	*os.File
	m *meter
}

func (f *metered) Read(p []byte) (int, error) {
	n, err := f.File.Read(p)
	f.m.add(n)
	return n, err
}

func (f *metered) ReadAt(p []byte, at int64) (int, error) {
	n, err := f.File.ReadAt(p, at)
	f.m.add(n)
	return n, err
}
