package format

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"tarn/internal/lake"
)

// VersionFormat is the format version of catalog versions that this build
// writes, and the newest that it reads.
const VersionFormat = 1

// Version is one numbered state of the catalog: which datasets exist and which
// Iceberg metadata file is current for each. It is immutable once written.
type Version struct {
	Sum           string   `json:"sum"` // set by EncodeVersion and DecodeVersion
	FormatVersion int      `json:"format_version"`
	Features      []string `json:"features"`
	Number        int64    `json:"number"`
	// Epoch counts the openings of the lake: whoever opens it writes the next
	// one, and a writer that finds a version of another epoch has lost the lake.
	Epoch    int64          `json:"epoch"`
	UUID     string         `json:"uuid"` // of this version: it settles an unknown outcome
	LakeUUID string         `json:"lake_uuid"`
	Root     string         `json:"root"` // URI of the lake when this was written; keys are relative to it
	Time     time.Time      `json:"time"` // of the writer's clock; it decides nothing
	Datasets []DatasetEntry `json:"datasets"`
	Requests []RequestEntry `json:"requests"`
	// Transactions are the uuids of those committed ones of which some deltas are kept,
	// and others are trimmed or of datasets that were dropped.
	Transactions []string `json:"transactions,omitempty"`
}

// DatasetEntry is one dataset of a catalog version.
type DatasetEntry struct {
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	TableUUID string `json:"table_uuid"`
	Metadata  string `json:"metadata"` // key of the current Iceberg metadata file
	// TrimmedThrough is the highest sequence whose delta may be gone.
	TrimmedThrough int64 `json:"trimmed_through"`
	// Attached says that the base stands on a table of others, whose files are not rewritten;
	// encoding adds the feature.
	Attached bool `json:"attached,omitempty"`
}

// LakeName is the dataset's name as one word.
func (d DatasetEntry) LakeName() lake.Name { return lake.Name{Namespace: d.Namespace, Dataset: d.Name} }

// Find gives the entry of a table, or nil.
func (v *Version) Find(tableUUID string) *DatasetEntry {
	for i := range v.Datasets {
		if v.Datasets[i].TableUUID == tableUUID {
			return &v.Datasets[i]
		}
	}
	return nil
}

// FindName gives the entry of a name, without regard to case, or nil.
func (v *Version) FindName(n lake.Name) *DatasetEntry {
	for i := range v.Datasets {
		if v.Datasets[i].LakeName().Key() == n.Key() {
			return &v.Datasets[i]
		}
	}
	return nil
}

// FindRequest gives the entry of an Idempotency-Key, or nil.
func (v *Version) FindRequest(key string) *RequestEntry {
	for i := range v.Requests {
		if v.Requests[i].Key == key {
			return &v.Requests[i]
		}
	}
	return nil
}

// RequestEntry remembers a finished import, create, rename or drop that came
// with an Idempotency-Key.
type RequestEntry struct {
	Key    string          `json:"key"`
	Hash   string          `json:"hash"` // of the request, xxh3-128 in hex
	Time   time.Time       `json:"time"`
	Status int             `json:"status"` // HTTP status of the answer
	Answer json.RawMessage `json:"answer,omitempty"`
}

// Clone copies a version so deep that an edit of the copy leaves it alone.
func (v Version) Clone() Version {
	v.Features = append([]string{}, v.Features...)
	v.Datasets = append([]DatasetEntry{}, v.Datasets...)
	v.Requests = append([]RequestEntry{}, v.Requests...)
	v.Transactions = append([]string(nil), v.Transactions...)
	for i := range v.Requests {
		v.Requests[i].Answer = bytes.Clone(v.Requests[i].Answer)
	}
	return v
}

// versionHead is how every catalog version starts; the sum's digits follow. A
// later format keeps it, so that any build can verify any version.
const versionHead = "{\n  \"sum\": \""

// featureAttached is of a version with a dataset that stands on a table of others: who does
// not know of that would rewrite their files, and take their rows for the lake's own.
const featureAttached = "attached"

var versionFeatures = map[string]bool{featureAttached: true}

// EncodeVersion is the whole file, with its sum in place.
func EncodeVersion(v Version) ([]byte, error) {
	v.Sum, v.FormatVersion = noSum, VersionFormat
	v.Time = v.Time.UTC()
	v.Features = slices.DeleteFunc(append([]string{}, v.Features...), func(f string) bool { return f == featureAttached })
	if slices.ContainsFunc(v.Datasets, func(d DatasetEntry) bool { return d.Attached }) {
		v.Features = append(v.Features, featureAttached)
	}
	if v.Datasets == nil {
		v.Datasets = []DatasetEntry{}
	}
	if v.Requests == nil {
		v.Requests = []RequestEntry{}
	}
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode catalog version %d: %w", v.Number, err)
	}
	b = append(b, '\n')
	patchSum(b, len(versionHead))
	return b, nil
}

// DecodeVersion verifies and reads a whole file. key names it in errors:
// CodeDamaged for any byte that is not as written, CodeUnsupported for a newer
// format version or an unknown feature.
func DecodeVersion(key string, b []byte) (Version, error) {
	if len(b) < len(versionHead)+sumDigits || string(b[:len(versionHead)]) != versionHead {
		return Version{}, damaged(key, "not a catalog version: it does not start with its sum")
	}
	sum, ok := checkSum(b, len(versionHead))
	if !ok {
		return Version{}, damaged(key, "the sum of its bytes is %s, not the one written in it", sum)
	}
	var v Version
	shape := json.Unmarshal(b, &v)
	head := struct {
		FormatVersion int      `json:"format_version"`
		Features      []string `json:"features"`
	}{v.FormatVersion, v.Features}
	if shape != nil { // a newer format may have another shape
		if err := json.Unmarshal(b, &head); err != nil {
			return Version{}, damaged(key, "not a catalog version: %w", err)
		}
	}
	if err := unknown(key, head.FormatVersion, VersionFormat, head.Features, versionFeatures); err != nil {
		return Version{}, err
	}
	if shape != nil {
		return Version{}, damaged(key, "not a catalog version: %w", shape)
	}
	return v, nil
}
