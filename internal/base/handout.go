package base

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/apache/iceberg-go"
	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// HandOut gives the table's metadata as JSON for programs that commit through tarn:
// without the property that keeps iceberg-go from repeating a commit, which would keep
// them from it too. With refsOnly it has only the snapshots that a ref points at.
//
// CodeUnsupported where the lake was moved: its locations are those of the place where it
// was.
func (t *Table) HandOut(ctx context.Context, refsOnly bool) (json.RawMessage, error) {
	if root := t.fs.store.Root(); t.root != root {
		return nil, lake.Errorf(lake.CodeUnsupported, "the lake was moved from %s to %s, and its Iceberg metadata names the old place", t.root, root).
			WithHint("run tarn reroot once, or POST /reroot")
	}
	body, err := t.fs.read(ctx, t.key)
	if err != nil {
		return nil, err
	}
	return handOut(t.key, body, refsOnly)
}

func handOut(key string, body []byte, refsOnly bool) (json.RawMessage, error) {
	doc, err := decodeMetadata(body)
	if err != nil {
		return nil, damaged(key, "%w", err)
	}
	if properties, ok := doc["properties"].(map[string]any); ok {
		delete(properties, table.CommitNumRetriesKey)
	}
	if refsOnly {
		pointed := map[string]bool{}
		refs, _ := doc["refs"].(map[string]any)
		for _, ref := range refs {
			if r, ok := ref.(map[string]any); ok {
				pointed[fmt.Sprint(r["snapshot-id"])] = true
			}
		}
		for _, list := range []string{"snapshots", "snapshot-log"} {
			doc[list] = only(doc[list], func(entry any) bool {
				e, ok := entry.(map[string]any)
				return ok && pointed[fmt.Sprint(e["snapshot-id"])]
			})
		}
	}
	out, err := json.Marshal(doc)
	if err != nil {
		return nil, lake.Errorf(lake.CodeInternal, "encode metadata: %w", err)
	}
	return out, nil
}

// Draft gives the metadata that a table would have if Create made it now.
func Draft(fs *FS, folder string, schema lake.Schema, tableUUID string, version int, properties map[string]string) (json.RawMessage, error) {
	t, body, err := draft(fs, folder, schema, tableUUID, version, properties)
	if err != nil {
		return nil, err
	}
	return handOut(t.key, body, false)
}

// SchemaFrom is an Iceberg schema as a dataset's, its key the identifier fields in the
// order of their ids. CodeUnsupported for types that a dataset cannot have.
func SchemaFrom(s *iceberg.Schema) (lake.Schema, error) {
	if s == nil {
		return lake.Schema{}, lake.Errorf(lake.CodeInvalidRequest, "there is no schema")
	}
	out, err := plainSchema(s)
	if err != nil {
		return lake.Schema{}, err
	}
	for _, name := range out.Key {
		if i, _ := out.Column(name); out.Columns[i].Nullable {
			return lake.Schema{}, lake.Errorf(lake.CodeInvalidRequest, "the identifier field %q is optional", name)
		}
	}
	return out, out.Check()
}

// plainSchema is the schema of another program as a dataset's, which has no defaults.
func plainSchema(s *iceberg.Schema) (lake.Schema, error) {
	for _, f := range s.Fields() {
		if f.InitialDefault != nil || f.WriteDefault != nil {
			return lake.Schema{}, lake.Errorf(lake.CodeUnsupported, "column %q has a default, which tables of tarn have not", f.Name)
		}
	}
	return lakeSchema(s, nil)
}

// SameSchema says whether a table of one schema holds the rows of another: columns, ids
// and key are equal.
func SameSchema(a, b lake.Schema) bool {
	return sameColumns(a.Columns, b.Columns) && a.SameKey(b.Key)
}

// LocationOf is the location of an update that sets one, "" of others.
func LocationOf(u table.Update) string {
	if u.Action() != table.UpdateSetLocation {
		return ""
	}
	var wire struct {
		Location string `json:"location"`
	}
	body, err := json.Marshal(u)
	if err != nil || json.Unmarshal(body, &wire) != nil {
		return ""
	}
	return strings.TrimSuffix(wire.Location, "/")
}

// ownProperties begin the names of table properties that say where files go, in what
// format, and what is tarn's: nobody else sets them.
var ownProperties = []string{
	"tarn.", "commit.", "write.data.path", "write.metadata.", "write.object-storage.", "write.folder-storage.", "write.location-provider.",
	"write.format.default", "write.delete.format", "encryption.", "history.expire.", "gc.", "read.split.", "schema.name-mapping.", "format-version",
}

// Properties checks the properties that a new table is to have, and gives those that it
// keeps. A format version is said among them and is none of them; 0 is one that is not said.
func Properties(given map[string]string) (kept map[string]string, version int, err error) {
	out := map[string]string{}
	for name, value := range given {
		if name == "format-version" {
			if version, err = strconv.Atoi(value); err == nil {
				err = CheckFormatVersion(version)
			}
			if err != nil {
				return nil, 0, lake.Errorf(lake.CodeUnsupported, "the table property %s = %s: there are %d and %d", name, value, VersionDefault, VersionVectors)
			}
			continue
		}
		if name == "write.format.default" && strings.EqualFold(value, "parquet") {
			continue
		}
		if isOwn(name) {
			return nil, 0, lake.Errorf(lake.CodeUnsupported, "the table property %s = %s cannot be set", name, value)
		}
		out[name] = value
	}
	return out, version, nil
}

func isOwn(name string) bool {
	return slices.ContainsFunc(ownProperties, func(own string) bool { return strings.HasPrefix(name, own) })
}

// maxPropertyBytes bounds the properties of a table, which stand in each of its metadata
// files.
const maxPropertyBytes = 256 << 10

// property takes an update of table properties: those that say nothing new are left out,
// and those that are tarn's refused.
func (p *Proposal) property(u table.Update) error {
	have := p.meta.Properties()
	if v, ok := as(u, table.NewRemovePropertiesUpdate(nil)); ok {
		var gone []string
		for _, name := range v.Removals {
			if _, there := have[name]; !there {
				continue
			}
			if isOwn(name) {
				return refused("the removal of the table property %s, which is tarn's", name)
			}
			gone = append(gone, name)
		}
		if len(gone) > 0 {
			p.properties = append(p.properties, table.NewRemovePropertiesUpdate(gone))
		}
		return nil
	}
	v, ok := as(u, table.NewSetPropertiesUpdate(nil))
	if !ok {
		return refused("the update %s", u.Action())
	}
	given, size := map[string]string{}, 0
	for name, value := range v.Updates {
		// Some set a name mapping with every commit. It is for files without field ids,
		// which there are none of.
		if old, there := have[name]; name == table.DefaultNameMappingKey || there && old == value {
			continue
		}
		given[name] = value
		size += len(name) + len(value)
	}
	for name, value := range have {
		size += len(name) + len(value)
	}
	if size > maxPropertyBytes {
		return lake.Errorf(lake.CodeTooLarge, "the properties of the table would have more than %d bytes", maxPropertyBytes)
	}
	kept, version, err := Properties(given)
	if version != 0 && version != p.meta.Version() {
		return refused("the table property format-version: the update %s is for it", table.UpdateUpgradeFormatVersion)
	}
	if len(kept) > 0 {
		p.properties = append(p.properties, table.NewSetPropertiesUpdate(kept))
	}
	return err
}
