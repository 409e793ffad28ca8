package base

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// clockSlack is how far a table's times may be ahead of the clock: iceberg-go adds no
// snapshot that is more than a minute older than what is there.
const clockSlack = 30 * time.Second

// present gives metadata in which no time is after now. Where the clock once ran ahead
// and was set back, a table has times of the future, and no commit would be taken until
// they have come. They were wrong when they were written: the next commit records its
// own time for them, and goes in.
func present(meta table.Metadata, now time.Time) (table.Metadata, error) {
	latest := meta.LastUpdatedMillis()
	for _, s := range meta.Snapshots() {
		latest = max(latest, s.TimestampMs)
	}
	if latest <= now.Add(clockSlack).UnixMilli() {
		return meta, nil
	}
	return retimed(meta, func(ms int64) int64 { return min(ms, now.UnixMilli()) })
}

// retimed gives metadata with its times changed.
func retimed(meta table.Metadata, change func(ms int64) int64) (table.Metadata, error) {
	doc, err := documentOf(meta)
	if err != nil {
		return nil, err
	}
	retime := func(in any, field string) {
		if m, ok := in.(map[string]any); ok {
			if n, ok := m[field].(json.Number); ok {
				if ms, err := n.Int64(); err == nil {
					m[field] = change(ms)
				}
			}
		}
	}
	retime(doc, "last-updated-ms")
	for _, list := range []string{"snapshots", "snapshot-log", "metadata-log"} {
		all, _ := doc[list].([]any)
		for _, one := range all {
			retime(one, "timestamp-ms")
		}
	}
	return parseMetadata(doc)
}

// documentOf gives metadata as decodeMetadata does.
func documentOf(meta table.Metadata) (map[string]any, error) {
	body, err := json.Marshal(meta)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode metadata: %w", err)
	}
	doc, err := decodeMetadata(body)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "read back metadata: %w", err)
	}
	return doc, nil
}

// decodeMetadata gives metadata as the JSON object that it is, to be changed in what
// iceberg-go has no update for.
func decodeMetadata(body []byte) (doc map[string]any, err error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber() // ids have more digits than a double
	return doc, d.Decode(&doc)
}

// parseMetadata gives the metadata that such an object has become.
func parseMetadata(doc map[string]any) (table.Metadata, error) {
	body, err := json.Marshal(doc)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode metadata: %w", err)
	}
	meta, err := table.ParseMetadataBytes(body)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "read back metadata: %w", err)
	}
	return meta, nil
}
