package httpapi

import (
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"tarn/internal/lake"
)

// headerDocs describe the headers of answers.
func headerDocs() map[string]string {
	return map[string]string{
		"ETag":           "the dataset's state, for If-Match",
		"Location":       "where the new thing is",
		headerRequestID:  "the id of the request, as in the server's log",
		headerQueryID:    "the id of /queries/{id}",
		headerReadPoints: "JSON: by dataset the read point that was read (in JSON answers: read_points)",
		headerChanged:    "JSON: what a statement with RETURNING did: statement, rows, sequence, read_point (in JSON answers: changed)",
		headerServedFrom: "JSON: by dataset image or parquet (in JSON answers: served_from)",
		headerTableUUID:  "the table that the sequences are of, for table_uuid",
		headerAsOf:       "of a server that follows the lake (--read-only): all that was acknowledged before this time is in the answer; absent where the lake is written",
		headerStaleness:  "how long before the request that was, in ms",
		headerEngine:     "spark or trino: the cluster that answered; absent where this server did",
		headerResults:    "hit: the same was asked before and nothing has changed since, so the answer of then was given; absent otherwise",
		headerStore:      "unreachable: the lake's bucket does not answer, so this may be older than fence_check_interval, or at a follower than its looks; absent otherwise",
	}
}

// securityBearer is the name of the one security scheme.
const securityBearer = "bearer"

// everyRoute are the errors that any route can answer with.
func everyRoute() []lake.Code {
	return []lake.Code{lake.CodeInvalidRequest, lake.CodeForbidden, lake.CodeNotAcceptable, lake.CodeUnsupportedMedia, lake.CodeInternal}
}

// describe makes the OpenAPI document of the table.
func (a *api) describe(routes []*route) *huma.OpenAPI {
	version := a.version
	if version == "" {
		version = "unversioned"
	}
	doc := &huma.OpenAPI{
		OpenAPI: "3.1.0",
		Info: &huma.Info{
			Title: "tarn", Version: version,
			Description: "A lakehouse server: datasets of Parquet that change row by row. Every path also works under /v1. Query parameters that a call does not name, and JSON fields that it does not know, are refused.",
		},
		Components: &huma.Components{
			Schemas: huma.NewMapRegistry("#/components/schemas/", schemaName),
			SecuritySchemes: map[string]*huma.SecurityScheme{securityBearer: {
				Type: "http", Scheme: "bearer", Description: "A token that the server's operator made. A server without tokens, on the loopback address, asks for none.",
			}},
		},
	}
	for _, tag := range []string{tagQueries, tagCache, tagDatasets, tagImport, tagAttach, tagRows, tagMoves, tagRunning, tagServer} {
		doc.Tags = append(doc.Tags, &huma.Tag{Name: tag})
	}
	for _, rt := range routes {
		doc.AddOperation(a.operation(doc.Components.Schemas, rt))
	}
	refine(doc)
	return doc
}

// schemaName names a Go type in the document: columnBody becomes ColumnBody.
func schemaName(t reflect.Type, hint string) string { return huma.DefaultSchemaNamer(t, hint) }

func (a *api) operation(reg huma.Registry, rt *route) *huma.Operation {
	op := &huma.Operation{
		Method: rt.method, Path: rt.path, OperationID: rt.id, Tags: []string{rt.tag},
		Summary: rt.summary, Description: strings.TrimSpace(rt.doc + " Where the server has tokens, it takes " + rt.needs.String() + "."), Responses: map[string]*huma.Response{},
		Security: []map[string][]string{},
	}
	if !rt.needs.open {
		op.Security = []map[string][]string{{securityBearer: {}}}
	}
	op.Parameters = append(pathParams(rt), queryParams(rt)...)
	op.Parameters = append(op.Parameters, headerParams(rt)...)
	if rt.body != nil {
		op.RequestBody = &huma.RequestBody{Required: !rt.bodyOptional, Content: mediaTypes(reg, rt, rt.body)}
	}
	for _, ans := range rt.answers {
		res := &huma.Response{Description: ans.doc, Headers: map[string]*huma.Param{}}
		if ans.content != nil {
			res.Content = mediaTypes(reg, rt, ans.content)
		}
		for _, name := range ans.headers {
			res.Headers[name] = &huma.Param{Description: headerDocs()[name], Schema: &huma.Schema{Type: huma.TypeString}}
		}
		op.Responses[strconv.Itoa(ans.status)] = res
	}
	problem := reg.Schema(reflect.TypeFor[Problem](), true, "Problem")
	for status, names := range a.statusesOf(rt) {
		op.Responses[strconv.Itoa(status)] = &huma.Response{
			Description: "code " + strings.Join(names, ", "),
			Content:     map[string]*huma.MediaType{mediaProblem: {Schema: problem}},
		}
	}
	return op
}

// statusesOf gives the error codes of a route by their status.
func (a *api) statusesOf(rt *route) map[int][]string {
	out := map[int][]string{}
	codes := slices.Concat(everyRoute(), rt.errors)
	if !rt.needs.open {
		codes = append(codes, lake.CodeUnauthorized, lake.CodeAccessDenied, lake.CodeRateLimited)
	}
	for _, code := range codes {
		status := a.codes.of(code).status
		if !slices.Contains(out[status], string(code)) {
			out[status] = append(out[status], string(code))
		}
	}
	return out
}

func mediaTypes(reg huma.Registry, rt *route, list []content) map[string]*huma.MediaType {
	out := map[string]*huma.MediaType{}
	for _, c := range list {
		schema := opaque(c.media, c.doc)
		if c.typ != nil {
			schema = reg.Schema(reflect.TypeOf(c.typ), true, rt.id)
		}
		if len(c.or) > 0 {
			schema = &huma.Schema{Description: c.doc, OneOf: []*huma.Schema{schema}}
			for _, other := range c.or {
				schema.OneOf = append(schema.OneOf, reg.Schema(reflect.TypeOf(other), true, rt.id))
			}
		}
		out[c.media] = &huma.MediaType{Schema: schema}
	}
	return out
}

func pathParams(rt *route) []*huma.Param {
	docs := map[string]string{
		"name": "a dataset, [namespace.]name; the namespace is main unless said",
		"key":  "the values of the key columns, percent-encoded and then parted by commas",
		"id":   "an id that the server gave",
	}
	var out []*huma.Param
	for _, m := range regexp.MustCompile(`\{([a-z]+)\}`).FindAllStringSubmatch(rt.path, -1) {
		out = append(out, &huma.Param{Name: m[1], In: "path", Required: true, Description: docs[m[1]], Schema: pathSchema(m[1])})
	}
	return out
}

func pathSchema(name string) *huma.Schema {
	s := &huma.Schema{Type: huma.TypeString}
	if name == "name" {
		s.Pattern = datasetPattern
	}
	return s
}

func queryParams(rt *route) []*huma.Param {
	var out []*huma.Param
	for _, p := range rt.query {
		least := 1
		schema := &huma.Schema{Type: huma.TypeString, MinLength: &least}
		for _, v := range p.values {
			schema.Enum = append(schema.Enum, v)
		}
		if p.fallback != "" {
			schema.Default = p.fallback
		}
		out = append(out, &huma.Param{Name: p.name, In: "query", Description: p.doc, Schema: schema})
	}
	return out
}

func headerParams(rt *route) []*huma.Param {
	var out []*huma.Param
	add := func(name, doc string) {
		out = append(out, &huma.Param{Name: name, In: "header", Description: doc, Schema: &huma.Schema{Type: huma.TypeString}})
	}
	add(headerRequestID, "an id of the client's for logs; made by the server where it is absent or not 1 to 128 letters, digits and -_.:/+=@")
	if rt.idempotent {
		add("Idempotency-Key", "a retry with the same key and request has the first one's effect and answer; another request with it is refused (422)")
	}
	if rt.ifMatch {
		add("If-Match", "the ETag that the dataset must have, else 412")
	}
	if rt.fresh {
		add("Cache-Control", "no-cache: the query runs, though its answer was kept")
	}
	return out
}

// operations lists a document's operations in the order of the table.
func operations(doc *huma.OpenAPI, routes []*route) []*huma.Operation {
	var out []*huma.Operation
	for _, rt := range routes {
		item := doc.Paths[rt.path]
		out = append(out, map[string]*huma.Operation{
			http.MethodGet: item.Get, http.MethodPut: item.Put, http.MethodPost: item.Post, http.MethodDelete: item.Delete,
		}[rt.method])
	}
	return out
}
