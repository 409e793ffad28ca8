package engine_test

import (
	"path/filepath"
	"testing"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
	"tarn/internal/store/s3test"
)

// TestI2BackupOfABucketIsOneInstant is TestI2BackupIsOneInstant for a lake in a bucket,
// with a disk cache that is as small as one can be, and processes of their own.
func TestI2BackupOfABucketIsOneInstant(t *testing.T) {
	s := s3test.Start(t)
	o := openLake(t, "", onBucket(s.URL, s.NewBucket(t), t.TempDir()), processes, func(o *engine.Options) {
		noRetention(&o.Settings)
		o.Settings.DiskCacheBytes = 64 << 20
	})
	defer o.close()
	backupIsOneInstant(o, 15)
	o.verifyClean()
}

// TestBackupOfABucket: a lake in a bucket is backed up by a machine that has none of its
// files yet, and becomes the same lake in a folder, and under another prefix of a bucket.
func TestBackupOfABucket(t *testing.T) {
	s := s3test.Start(t)
	bucket := s.NewBucket(t)
	o := openLake(t, "", onBucket(s.URL, bucket, t.TempDir()), marking)
	variedLake(o)
	o.close()
	o = openLake(t, "", onBucket(s.URL, bucket, t.TempDir()))
	defer o.close()
	to := filepath.Join(t.TempDir(), "backups")
	first := o.mustContent()
	if r := o.backup(to, 0); r.Backup != 1 || r.Datasets != 4 || r.CopiedFiles != r.Files {
		t.Fatalf("%+v", r)
	}
	o.change("people", engine.OpUpsert, `{"id":77,"name":"new"}`)
	o.compact("people")
	if _, err := o.importText("renamed", engine.ImportReplace, rows.CSV, nil, "", "id,v\n1,1\n"); err != nil {
		t.Fatal(err)
	}
	second := o.mustContent()
	if r := o.backup(to, 0); r.Backup != 2 || r.CopiedFiles == 0 || r.CopiedFiles >= r.Files {
		t.Fatalf("%+v", r)
	}
	verifiedBackup(t, to, 2)
	restored(t, to, 1, first)
	restored(t, to, 2, second)

	for number, content := range map[int64]string{1: first, 2: second} {
		into := engine.Options{Settings: testSettings(), MemoryBytes: 2 << 30, Log: quiet()}
		onBucket(s.URL, s.NewBucket(t), t.TempDir())(&into)
		r, err := engine.Restore(t.Context(), engine.RestoreRequest{Path: to, Backup: number, Options: into}, nil)
		if err != nil || r.Data != into.Data || r.Rerooted != r.Datasets {
			t.Fatalf("%+v, %v", r, err)
		}
		_, err = engine.Restore(t.Context(), engine.RestoreRequest{Path: to, Options: into}, nil)
		wantCode(t, err, lake.CodeInvalidRequest) // it is not empty any more
		n := openLake(t, "", func(o *engine.Options) { *o = into })
		if err := n.is(content); err != nil {
			t.Errorf("backup %d: %v", number, err)
		}
		n.change("people", engine.OpUpsert, `{"id":78,"name":"newer"}`)
		n.compact("people")
		n.want("select name from people where id = 78", `["newer"]`)
		n.verifyClean()
		n.close()
		into.State = ""
		_, err = engine.Restore(t.Context(), engine.RestoreRequest{Path: to, Options: into}, nil)
		wantCode(t, err, lake.CodeInvalidRequest)
	}
}
