package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"tarn/internal/failpoint"
	"tarn/internal/lake"
)

// pin is a line of the file of pins. The uuid names the dataset, so that a pin
// survives a rename and goes with a drop.
type pin struct {
	TableUUID string    `json:"table_uuid"`
	Dataset   string    `json:"dataset"` // as it was called then, for people who read the file
	PinnedAt  time.Time `json:"pinned_at"`
}

// pinsFormat is the version of the file; another one is not read.
const pinsFormat = 1

type pinFile struct {
	Format int   `json:"format"`
	Pins   []pin `json:"pins"`
}

// readPins reads the file of pins; none is no pins. One that does not parse is
// put aside and said: pins are lost, and nothing else.
func readPins(path string, log *slog.Logger) ([]pin, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, lake.Errorf(lake.CodeUnavailable, "%w", err)
	}
	var f pinFile
	if err = json.Unmarshal(text, &f); err == nil && f.Format == pinsFormat {
		return f.Pins, nil
	}
	aside := path + ".damaged"
	log.Error("the file of pins does not parse: it is put aside, and nothing is pinned", "path", path, "aside", aside, "format", f.Format, "error", err)
	if err := os.Rename(path, aside); err != nil {
		return nil, lake.Errorf(lake.CodeUnavailable, "%w", err)
	}
	return nil, nil
}

// setPinned pins or unpins a dataset: first in the file, then here. After an
// error it is as it was.
func (c *Cache) setPinned(uuid string, pinned bool) error {
	c.pinsMu.Lock()
	defer c.pinsMu.Unlock()
	c.mu.Lock()
	k := c.mu.known[uuid]
	same := k == nil || k.pinned == pinned
	c.mu.Unlock()
	if k == nil && pinned {
		return errDropped
	}
	if same {
		return nil
	}
	now := c.o.Now().UTC()
	err := c.writePins(func(pins map[string]time.Time) {
		delete(pins, uuid)
		if pinned {
			pins[uuid] = now
		}
	})
	if err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.mu.known[uuid] == nil { // dropped meanwhile, which writes the file again
		return errDropped
	}
	k.pinned, k.pinnedAt = pinned, now
	return nil
}

// savePins writes the pins as they are.
func (c *Cache) savePins() error {
	c.pinsMu.Lock()
	defer c.pinsMu.Unlock()
	return c.writePins(func(map[string]time.Time) {})
}

// writePins writes the pins with a change to them; pinsMu is held.
func (c *Cache) writePins(change func(map[string]time.Time)) error {
	pins := map[string]time.Time{}
	c.mu.Lock()
	for uuid, k := range c.mu.known {
		if k.pinned {
			pins[uuid] = k.pinnedAt
		}
	}
	c.mu.Unlock()
	change(pins)
	exist := c.datasets()
	f := pinFile{Format: pinsFormat, Pins: []pin{}}
	for uuid, at := range pins {
		f.Pins = append(f.Pins, pin{uuid, exist[uuid].Name.String(), at})
	}
	slices.SortFunc(f.Pins, func(a, b pin) int { return strings.Compare(a.TableUUID, b.TableUUID) })
	var text bytes.Buffer
	enc := json.NewEncoder(&text)
	enc.SetIndent("", "  ")
	if err := enc.Encode(f); err != nil {
		return err
	}
	if err := writeAtomic(c.o.PinsPath, text.Bytes()); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "write the pins: %w", err).WithHint("is the state folder writable, and has its disk room?")
	}
	return nil
}

// writeAtomic puts a file in the place of another: after a crash there is the
// old one or the new one, whole.
func writeAtomic(path string, text []byte) (err error) {
	fresh := path + ".new"
	f, err := os.OpenFile(fresh, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	failpoint.Hit("pin.written")
	if err := os.Rename(fresh, path); err != nil {
		return err
	}
	failpoint.Hit("pin.renamed")
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
