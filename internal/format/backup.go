package format

import (
	"encoding/json"
	"time"

	"tarn/internal/lake"
)

// BackupFormat is the format version of backup manifests that this build writes,
// and the newest that it reads.
const BackupFormat = 1

// Backup is the manifest of one backup: a lake at one instant, as a list of files
// with their hashes. It is written last, so that a backup without one is none, and
// never changed.
type Backup struct {
	Sum           string   `json:"sum"` // set by EncodeBackup and DecodeBackup
	FormatVersion int      `json:"format_version"`
	Features      []string `json:"features"`
	Number        int64    `json:"number"` // in its folder, from 1
	UUID          string   `json:"uuid"`   // of this manifest: it settles an unknown outcome
	LakeUUID      string   `json:"lake_uuid"`
	Root          string   `json:"root"` // URI of the lake that was backed up
	// CatalogVersion is the number of the lake's version that the backup holds; it
	// is one of Files.
	CatalogVersion int64        `json:"catalog_version"`
	Time           time.Time    `json:"time"` // of the instant; of the writer's clock
	Files          []BackupFile `json:"files"`
}

// BackupFile is a durable file of the lake under its key there.
type BackupFile struct {
	Key   string `json:"key"`
	Bytes int64  `json:"bytes"`
	Hash  string `json:"hash"` // of all its bytes, xxh3-128 in hex
}

// Size is the bytes of all files.
func (b Backup) Size() int64 {
	total := int64(0)
	for _, f := range b.Files {
		total += f.Bytes
	}
	return total
}

var backupFeatures = map[string]bool{}

// EncodeBackup is the whole manifest, with its sum in place.
func EncodeBackup(b Backup) ([]byte, error) {
	b.Sum, b.FormatVersion, b.Time = noSum, BackupFormat, b.Time.UTC()
	if b.Features == nil {
		b.Features = []string{}
	}
	if b.Files == nil {
		b.Files = []BackupFile{}
	}
	out, err := json.MarshalIndent(b, "", "  ")
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode backup %d: %w", b.Number, err)
	}
	out = append(out, '\n')
	patchSum(out, len(versionHead)) // it begins as a catalog version does
	return out, nil
}

// DecodeBackup verifies and reads a whole manifest. key names it in errors:
// CodeDamaged for any byte that is not as written, CodeUnsupported for a newer
// format version or an unknown feature.
func DecodeBackup(key string, b []byte) (Backup, error) {
	if len(b) < len(versionHead)+sumDigits || string(b[:len(versionHead)]) != versionHead {
		return Backup{}, damaged(key, "not a backup's manifest: it does not start with its sum")
	}
	sum, ok := checkSum(b, len(versionHead))
	if !ok {
		return Backup{}, damaged(key, "the sum of its bytes is %s, not the one written in it", sum)
	}
	var head struct {
		FormatVersion int      `json:"format_version"`
		Features      []string `json:"features"`
	}
	if err := json.Unmarshal(b, &head); err != nil {
		return Backup{}, damaged(key, "not a backup's manifest: %w", err)
	}
	if err := unknown(key, head.FormatVersion, BackupFormat, head.Features, backupFeatures); err != nil {
		return Backup{}, err
	}
	var out Backup
	if err := json.Unmarshal(b, &out); err != nil {
		return Backup{}, damaged(key, "not a backup's manifest: %w", err)
	}
	return out, nil
}
