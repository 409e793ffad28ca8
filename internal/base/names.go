package base

import (
	"context"
	"fmt"
	"path"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"tarn/internal/lake"
	"tarn/internal/store"
)

var (
	hashName     = regexp.MustCompile(`-x([0-9a-f]{32})\.(?:parquet|avro|puffin)$`)
	metadataName = regexp.MustCompile(`^(\d{5,})-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})\.metadata\.json$`)
	ordinalName  = regexp.MustCompile(`^(\d{20})-`)
)

// HashInName gives the hash that a file of a table has in its name; ok is false
// for a foreign file.
func HashInName(key string) (hash string, ok bool) {
	name := path.Base(key)
	if m := hashName.FindStringSubmatch(name); m != nil {
		return m[1], true
	}
	if m := metadataName.FindStringSubmatch(name); m != nil {
		return strings.ReplaceAll(m[2], "-", ""), true
	}
	return "", false
}

// dataName names a data file. The part of chance keeps two files apart that hold
// the same bytes: one may be being collected while the other comes.
func dataName(ordinal int64, hash string) string {
	return fmt.Sprintf("%020d-%s-x%s.parquet", ordinal, uuid.NewString()[:8], hash)
}

// deletesName names a position delete file; see dataName.
func deletesName(hash string) string {
	return fmt.Sprintf("deletes-%s-x%s.parquet", uuid.NewString()[:8], hash)
}

// ordinalOf reads the arrival ordinal from a data file's name.
func ordinalOf(key string) (ordinal int64, ok bool) {
	m := ordinalName.FindStringSubmatch(path.Base(key))
	if m == nil {
		return 0, false
	}
	ordinal, err := strconv.ParseInt(m[1], 10, 64)
	return ordinal, err == nil
}

// hashedAvro is the name of a manifest or a list once its bytes are known.
func hashedAvro(key, hash string) string {
	return strings.TrimSuffix(key, ".avro") + "-x" + hash + ".avro"
}

func metadataKey(folder string, number int64, body []byte) string {
	h := store.HashBytes(body)
	return fmt.Sprintf("%s/metadata/%05d-%s-%s-%s-%s-%s.metadata.json", folder, number, h[:8], h[8:12], h[12:16], h[16:20], h[20:])
}

// parseMetadataKey takes a metadata file's key apart.
func parseMetadataKey(key string) (folder string, number int64, err error) {
	dir, name := path.Split(key)
	m := metadataName.FindStringSubmatch(name)
	folder, ok := strings.CutSuffix(dir, "/metadata/")
	if m == nil || !ok {
		return "", 0, lake.Errorf(lake.CodeUnsupported, "%s is not a metadata file of ours", key)
	}
	number, err = strconv.ParseInt(m[1], 10, 64)
	if err != nil {
		return "", 0, lake.Errorf(lake.CodeUnsupported, "%s is not a metadata file of ours", key)
	}
	return folder, number, nil
}

func damaged(key, format string, args ...any) error {
	e := lake.Errorf(lake.CodeDamaged, format, args...)
	e.Step = key
	return e.WithHint("restore %s from a backup or a copy of the lake", key)
}

// checkHash holds the hash of a file's bytes against its name.
func checkHash(key, hash string) error {
	if want, ok := HashInName(key); ok && want != hash {
		return damaged(key, "the hash of its bytes is %s, not the one in its name", hash)
	}
	return nil
}

// CheckFile reads the file at path whole and holds it against the hash in the
// object's name: lake.CodeDamaged, naming the key, where it differs. Of a foreign
// file nothing can be said.
func CheckFile(ctx context.Context, key, path string) error {
	if _, ok := HashInName(key); !ok {
		return nil
	}
	hash, _, err := store.HashFile(ctx, path)
	if err != nil {
		return err
	}
	return checkHash(key, hash)
}
