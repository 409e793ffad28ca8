package httpapi

import (
	"slices"

	"github.com/danielgtaylor/huma/v2"

	"tarn/internal/rows"
)

// datasetPattern is what a dataset's name looks like, as a regular expression.
const datasetPattern = `^([a-zA-Z_][a-zA-Z0-9_]{0,127}\.)?[a-zA-Z_][a-zA-Z0-9_]{0,127}$`

// refine says in the document what the Go types cannot: names' patterns, a reference
// that may be null, answers of two shapes.
func refine(doc *huma.OpenAPI) {
	schemas := doc.Components.Schemas.Map()
	for schema, field := range map[string]string{"CacheBody": "dataset", "EvictBody": "dataset", "CompactBody": "dataset", "RenameBody": "to"} {
		if p := property(schemas, schema, field); p != nil {
			p.Pattern = datasetPattern
		}
	}
	if p := property(schemas, "CacheBody", "dataset"); p != nil {
		p.Nullable = false
	}
	if p := property(schemas, "SqlBody", "sql"); p != nil {
		p.MinLength = new(int)
		*p.MinLength = 1
	}
	if entry := schemas["CacheEntry"]; entry != nil && entry.Properties["read_point"] != nil {
		at := entry.Properties["read_point"]
		entry.Properties["read_point"] = &huma.Schema{Description: at.Description, OneOf: []*huma.Schema{{Ref: at.Ref}, {Type: "null"}}}
	}
}

func property(schemas map[string]*huma.Schema, schema, field string) *huma.Schema {
	if s := schemas[schema]; s != nil {
		return s.Properties[field]
	}
	return nil
}

// opaque is the schema of a body that has no Go type: rows, files, text.
func opaque(media, doc string) *huma.Schema {
	s := &huma.Schema{Description: doc}
	switch {
	case slices.Contains([]string{rows.MediaArrow, rows.MediaParquet}, media):
		s.Type, s.Format = huma.TypeString, "binary"
	case media != rows.MediaJSON && media != mediaMultipart:
		s.Type = huma.TypeString
	}
	return s
}
