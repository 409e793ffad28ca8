package httpapi

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"slices"

	"github.com/danielgtaylor/huma/v2"
)

//go:embed docs.html
var docsHTML string

// docsModel is what the page shows.
type docsModel struct {
	Doc     *huma.OpenAPI
	Groups  []docsGroup
	Codes   []codeInfo
	Schemas []docsSchema
}

type docsGroup struct {
	Name string
	Ops  []*huma.Operation
}

type docsSchema struct{ Name, JSON string }

// renderDocs makes the page at /docs. It is whole in itself: no script, and
// nothing that is loaded from elsewhere.
func renderDocs(doc *huma.OpenAPI, routes []*route) []byte {
	model := docsModel{Doc: doc, Codes: codeTable()}
	for _, tag := range doc.Tags {
		group := docsGroup{Name: tag.Name}
		for _, op := range operations(doc, routes) {
			if slices.Contains(op.Tags, tag.Name) {
				group.Ops = append(group.Ops, op)
			}
		}
		model.Groups = append(model.Groups, group)
	}
	schemas := doc.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		var pretty bytes.Buffer
		if err := json.Indent(&pretty, mustJSON(schemas[name]), "", "  "); err != nil {
			panic(err)
		}
		model.Schemas = append(model.Schemas, docsSchema{name, pretty.String()})
	}
	page := template.Must(template.New("docs").Funcs(template.FuncMap{
		"status":   func(c codeInfo) int { return c.status },
		"code":     func(c codeInfo) string { return string(c.code) },
		"title":    func(c codeInfo) string { return c.title },
		"meaning":  func(c codeInfo) string { return c.meaning },
		"schemaOf": schemaText,
	}).Parse(docsHTML))
	var out bytes.Buffer
	if err := page.Execute(&out, model); err != nil {
		panic(err)
	}
	return out.Bytes()
}

// schemaText names the schema of a media type: a reference by its name, else
// what it is for.
func schemaText(s *huma.Schema) string {
	const prefix = "#/components/schemas/"
	if len(s.Ref) > len(prefix) {
		return s.Ref[len(prefix):]
	}
	if s.Description != "" {
		return s.Description
	}
	return s.Type
}
