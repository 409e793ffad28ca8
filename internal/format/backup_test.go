package format_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
	"time"

	"tarn/internal/format"
	"tarn/internal/lake"
)

func backupManifest() format.Backup {
	return format.Backup{
		Number: 3, UUID: "0b6b7c9a-3f0e-4d6e-9a51-6f1f2a9b7d10", LakeUUID: "5a9d2a56-7a07-4c0e-8f8b-5b7a1f0e6c21", Root: "file:///srv/lake",
		CatalogVersion: 42, Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC),
		Files: []format.BackupFile{
			{Key: "catalog/00000000000000000042.json", Bytes: 812, Hash: "c1d5a0f1a6b0f3a3c0b7e88a1f2d3c4b"},
			{Key: "deltas/6f1e3a52-58b7-4d0c-9c0a-3f5a0e6b7c11/00000000000000000007.parquet", Bytes: 1400, Hash: "00112233445566778899aabbccddeeff"},
		},
	}
}

func TestGoldenBackup(t *testing.T) {
	b := golden(t, "testdata/backup-1.json", func() ([]byte, error) { return format.EncodeBackup(backupManifest()) })
	got, err := format.DecodeBackup("golden", b)
	if err != nil {
		t.Fatal(err)
	}
	want := backupManifest()
	want.Sum, want.FormatVersion, want.Features = got.Sum, 1, []string{}
	if !reflect.DeepEqual(got, want) || got.Size() != 2212 {
		t.Errorf("%+v\nwant %+v", got, want)
	}
	if again, _ := format.EncodeBackup(backupManifest()); !bytes.Equal(again, b) {
		t.Errorf("encoding differs from the golden file:\n%s", again)
	}
}

// Every flipped bit, every cut and every newer manifest is refused.
func TestBackupManifestDamage(t *testing.T) {
	b, err := format.EncodeBackup(backupManifest())
	if err != nil {
		t.Fatal(err)
	}
	for bit := range 8 * len(b) {
		hurt := bytes.Clone(b)
		hurt[bit/8] ^= 1 << (bit % 8)
		if _, err := format.DecodeBackup("backups/3", hurt); !errors.Is(err, lake.ErrDamaged) || !strings.Contains(err.Error(), "backups/3") {
			t.Fatalf("bit %d: %v", bit, err)
		}
	}
	for range 100 {
		if _, err := format.DecodeBackup("k", b[:rand.IntN(len(b))]); !errors.Is(err, lake.ErrDamaged) {
			t.Fatalf("cut: %v", err)
		}
	}
}
