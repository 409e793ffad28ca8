package engine

import (
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/store"
)

// openScratch takes the state folder, clears what killed processes left in it,
// and makes a scratch folder of this engine's own: a job that outlives its
// server for an instant writes into another.
func (e *Engine) openScratch() (err error) {
	if err := os.MkdirAll(e.opts.State, 0o755); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "make the state folder: %w", err)
	}
	// Within the lake the lake's own lock covers it; elsewhere two lakes could
	// have been given one state folder.
	if rel, relErr := filepath.Rel(e.opts.Data, e.opts.State); e.lock == nil || relErr != nil || strings.HasPrefix(rel, "..") {
		e.stateLock, err = store.Lock(e.opts.State, store.Holder{PID: os.Getpid(), URL: e.opts.URL})
		if err != nil {
			return lake.Step("take the state folder "+e.opts.State, err)
		}
	}
	e.scratchDir = filepath.Join(e.opts.State, scratchName, uuid.NewString())
	if err := os.MkdirAll(e.scratchDir, 0o700); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "make the scratch folder: %w", err)
	}
	return e.clearScratch()
}

// scratchName is the folder in the state folder whose content is ours to delete.
const scratchName = "tarn-scratch"

// clearPatience is how long an open waits for processes of a killed server that
// still write: they end by themselves once they notice that it is gone.
const clearPatience = 5 * time.Second

// clearScratch removes the scratch folders of servers that are gone. What cannot
// be removed is said in the log and tried again at the next open: it takes room
// and is never read.
func (e *Engine) clearScratch() error {
	all := filepath.Dir(e.scratchDir)
	entries, err := os.ReadDir(all)
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "clear the scratch folder: %w", err)
	}
	deadline := time.Now().Add(clearPatience)
	for _, entry := range entries {
		path := filepath.Join(all, entry.Name())
		if path == e.scratchDir {
			continue
		}
		err := os.RemoveAll(path)
		for ; err != nil && time.Now().Before(deadline); err = os.RemoveAll(path) {
			time.Sleep(10 * time.Millisecond)
		}
		if err != nil {
			e.log.Warn("the scratch folder of an earlier server was not removed", "folder", path, "error", err)
		}
	}
	return nil
}

func (e *Engine) scratch() string { return e.scratchDir }
