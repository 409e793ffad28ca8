package foreign

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// maxMetadataBytes bounds a metadata file, also unpacked: it grows by less than a KiB with a
// snapshot.
const maxMetadataBytes = 128 << 20

// newest finds the metadata file of a location: itself, or, of a folder, the one that its
// version-hint.text names or a later one, else the one with the highest number.
func (p *Places) newest(ctx context.Context, location string) (string, error) {
	if isMetadataFile(location) {
		return location, nil
	}
	folder := join(location, "metadata")
	hint, err := p.read(ctx, join(folder, "version-hint.text"), 4<<10)
	switch {
	case err == nil:
		return p.hinted(ctx, folder, strings.TrimSpace(string(hint)))
	case lake.CodeOf(err) != lake.CodeNotFound:
		return "", err
	}
	names, err := p.names(ctx, folder)
	if err != nil {
		return "", err
	}
	name, err := highest(folder, names)
	return join(folder, name), err
}

func isMetadataFile(uri string) bool {
	return strings.HasSuffix(uri, ".metadata.json") || strings.HasSuffix(uri, ".metadata.json.gz")
}

// hinted follows version-hint.text. Hadoop tables have a number in it, which is written after
// the metadata file, so that a later file may be there; others write a name, or one without
// its ending.
func (p *Places) hinted(ctx context.Context, folder, hint string) (string, error) {
	number, err := strconv.ParseUint(hint, 10, 63)
	if err != nil {
		if hint == "" || strings.ContainsAny(hint, "/\\\n") {
			return "", wrong(join(folder, "version-hint.text"), "it names no version: %q", hint)
		}
		if !isMetadataFile(hint) {
			hint += ".metadata.json"
		}
		return join(folder, hint), nil
	}
	found := ""
	for ; ; number++ {
		uri, err := p.version(ctx, folder, number)
		switch {
		case err != nil:
			return "", err
		case uri != "":
			found = uri
		case found == "":
			return "", lake.Errorf(lake.CodeNotFound, "version-hint.text names the version %d, and there is no v%d.metadata.json in %s", number, number, folder).
				WithHint("name the metadata file instead of the folder")
		default:
			return found, nil
		}
	}
}

// version gives the metadata file of a version of a Hadoop table, "" where there is none.
func (p *Places) version(ctx context.Context, folder string, number uint64) (string, error) {
	for _, ending := range []string{".metadata.json", ".gz.metadata.json", ".metadata.json.gz"} {
		uri := join(folder, fmt.Sprintf("v%d%s", number, ending))
		if there, err := p.exists(ctx, uri); there || err != nil {
			return uri, err
		}
	}
	return "", nil
}

// numbered are the names of metadata files with their number: v12.metadata.json as Hadoop
// tables have them, 00012-<uuid>.metadata.json as catalogs write them.
var numbered = regexp.MustCompile(`^(?:v(\d{1,18})|(\d{1,18})-[^/]+?)(?:\.gz)?\.metadata\.json(?:\.gz)?$`)

// highest gives the metadata file with the highest number among the names in a folder.
func highest(folder string, names []string) (string, error) {
	top, found := int64(-1), []string(nil)
	unnumbered := ""
	for _, name := range names {
		m := numbered.FindStringSubmatch(name)
		if m == nil {
			if isMetadataFile(name) {
				unnumbered = name
			}
			continue
		}
		switch n, _ := strconv.ParseInt(m[1]+m[2], 10, 64); {
		case n > top:
			top, found = n, []string{name}
		case n == top:
			found = append(found, name)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return "", lake.Errorf(lake.CodeInvalidRequest, "%s has several metadata files of the number %d: %s", folder, top, strings.Join(found, ", ")).
			WithHint("ask the table's catalog which one counts, and name that file, or the table in its catalog")
	case unnumbered != "":
		return "", lake.Errorf(lake.CodeInvalidRequest, "%s has metadata files without a number, such as %s: which is the newest is not known", folder, unnumbered).
			WithHint("name the metadata file")
	}
	return "", lake.Errorf(lake.CodeNotFound, "there is no metadata file in %s", folder).
		WithHint("name the folder that holds the folder metadata, or a metadata file")
}

// read reads a file whole. One of more than limit bytes is lake.CodeTooLarge.
func (p *Places) read(ctx context.Context, uri string, limit int64) ([]byte, error) {
	f, err := p.open(ctx, uri)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if f.Size() > limit {
		return nil, tooLarge(uri, limit)
	}
	body := make([]byte, f.Size())
	if _, err := io.ReadFull(f, body); err != nil {
		return nil, readFailed(ctx, uri, err)
	}
	return body, nil
}

func tooLarge(uri string, limit int64) error {
	return lake.Errorf(lake.CodeTooLarge, "%s has more than %d bytes", uri, limit)
}

// readFailed is the error of reading a file that was opened.
func readFailed(ctx context.Context, uri string, err error) error {
	switch {
	case ctx.Err() != nil:
		return lake.Step(uri, ctx.Err())
	case lake.CodeOf(err) != lake.CodeInternal:
		return lake.Step(uri, err)
	case err == io.ErrUnexpectedEOF || err == io.EOF:
		return wrong(uri, "it became shorter while it was read")
	}
	return lake.Errorf(lake.CodeUnavailable, "read %s: %w", uri, err)
}

// metadata reads a metadata file.
func (p *Places) metadata(ctx context.Context, uri string) (table.Metadata, error) {
	body, err := p.read(ctx, uri, maxMetadataBytes)
	if err != nil {
		return nil, err
	}
	if strings.HasSuffix(uri, ".gz.metadata.json") || strings.HasSuffix(uri, ".metadata.json.gz") {
		if body, err = unpacked(uri, body); err != nil {
			return nil, err
		}
	}
	return parseMetadata(uri, body)
}

func unpacked(uri string, packed []byte) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, wrong(uri, "it is not packed by gzip, as its name says: %w", err)
	}
	body, err := io.ReadAll(io.LimitReader(r, maxMetadataBytes+1))
	switch {
	case err != nil:
		return nil, wrong(uri, "unpack it: %w", err)
	case len(body) > maxMetadataBytes:
		return nil, tooLarge(uri, maxMetadataBytes)
	}
	return body, nil
}

// parseMetadata decodes the metadata of a table. Of a format version that is not known
// nothing more is read.
func parseMetadata(uri string, body []byte) (table.Metadata, error) {
	var version struct {
		Format *int `json:"format-version"`
	}
	switch err := json.Unmarshal(body, &version); {
	case err != nil:
		return nil, wrong(uri, "it is no metadata of an Iceberg table: %w", err)
	case version.Format == nil:
		return nil, wrong(uri, "it is no metadata of an Iceberg table: it has no format-version")
	case *version.Format < 1 || *version.Format > 3:
		return nil, refused("%s: Iceberg format version %d; this build reads 1, 2 and 3", uri, *version.Format)
	}
	return decoded(uri, func() (table.Metadata, error) { return table.ParseMetadataBytes(body) })
}
