package foreign

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/apache/iceberg-go/table"

	"tarn/internal/lake"
)

// maxTokenBytes bounds a token file.
const maxTokenBytes = 64 << 10

func checkCatalog(c Catalog) error {
	if c.Name == "" || strings.ContainsAny(c.Name, "/: ") {
		return lake.Errorf(lake.CodeInvalidRequest, "the catalog %q: its name is empty, or has a slash, colon or space", c.Name)
	}
	u, err := url.Parse(c.URI)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return lake.Errorf(lake.CodeInvalidRequest, "the catalog %s: %q is no URI of an Iceberg REST catalog", c.Name, c.URI).
			WithHint("write what stands before /v1/config, such as https://catalog.example.com/api/catalog")
	}
	if u.User != nil { // errors have the URI in them
		return lake.Errorf(lake.CodeInvalidRequest, "the catalog %s: its URI has a user or password in it", c.Name).
			WithHint("a catalog is asked with the token of its token file")
	}
	return nil
}

// ask has a catalog say where the newest metadata of a table is, and what is in it. The
// metadata file must lie below a root, as all that it names.
func (p *Places) ask(ctx context.Context, s Source) (string, table.Metadata, error) {
	c, known := p.catalogs[s.Catalog]
	if !known {
		return "", nil, lake.Errorf(lake.CodeInvalidRequest, "there is no catalog %s", s.Catalog).WithHint("the catalogs are in the settings of the server")
	}
	call := catalogCall{c, p.client}
	config, err := call.config(ctx)
	if err != nil {
		return "", nil, err
	}
	var loaded struct {
		Location string          `json:"metadata-location"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if err := call.get(ctx, config.path(s.Table), "", &loaded); err != nil {
		return "", nil, err
	}
	if loaded.Location == "" || len(loaded.Metadata) == 0 {
		return "", nil, refused("the catalog %s does not say where the metadata of %s is", c.Name, s.Table).
			WithHint("tables of which a catalog keeps the metadata to itself cannot be attached")
	}
	if _, _, err := p.find(loaded.Location); err != nil {
		return "", nil, err
	}
	meta, err := parseMetadata(loaded.Location, loaded.Metadata)
	return loaded.Location, meta, err
}

// catalogConfig is what a catalog says of itself.
type catalogConfig struct {
	Defaults  map[string]string `json:"defaults"`
	Overrides map[string]string `json:"overrides"`
}

func (c catalogConfig) property(name string) string {
	return cmp.Or(c.Overrides[name], c.Defaults[name])
}

// path is where a table is loaded, below /v1. The prefix is put in as it is; parts of a
// namespace stand between separators.
func (c catalogConfig) path(name string) string {
	parts := strings.Split(name, ".")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	last := len(parts) - 1
	out := []string{"namespaces", strings.Join(parts[:last], cmp.Or(c.property("namespace-separator"), "%1F")), "tables", parts[last]}
	if prefix := strings.Trim(c.property("prefix"), "/"); prefix != "" {
		out = append([]string{prefix}, out...)
	}
	return strings.Join(out, "/")
}

// catalogCall asks one catalog.
type catalogCall struct {
	catalog Catalog
	client  *http.Client
}

func (c catalogCall) config(ctx context.Context) (catalogConfig, error) {
	query := ""
	if c.catalog.Warehouse != "" {
		query = url.Values{"warehouse": {c.catalog.Warehouse}}.Encode()
	}
	var config catalogConfig
	err := c.get(ctx, "config", query, &config)
	if lake.CodeOf(err) == lake.CodeNotFound { // no table, which may be there
		err = lake.Errorf(lake.CodeUnavailable, "%w", err).WithHint("look at the catalog's URI and warehouse in the settings")
	}
	return config, err
}

// get reads what a catalog has under a path below /v1.
func (c catalogCall) get(ctx context.Context, path, query string, into any) error {
	where := strings.TrimRight(c.catalog.URI, "/") + "/v1/" + path
	if query != "" {
		where += "?" + query
	}
	err := c.try(ctx, where, into)
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return lake.Step("the catalog "+c.catalog.Name, err)
}

func (c catalogCall) try(ctx context.Context, where string, into any) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return lake.Errorf(lake.CodeUnavailable, "its configuration makes no URI: %w", err)
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "tarn")
	token, err := c.token()
	if err != nil {
		return err
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return noAnswer(err)
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxMetadataBytes+1))
	switch {
	case err != nil:
		return noAnswer(err)
	case len(body) > maxMetadataBytes:
		return tooLarge("its answer", maxMetadataBytes)
	case answer.StatusCode != http.StatusOK:
		return c.said(answer.StatusCode, body)
	}
	if err := json.Unmarshal(body, into); err != nil {
		return lake.Errorf(lake.CodeUnavailable, "%s answers with something that is not of an Iceberg REST catalog: %w", where, err).
			WithHint("look at the catalog's URI in the settings")
	}
	return nil
}

// token reads the token file, which may have been replaced since.
func (c catalogCall) token() (string, error) {
	if c.catalog.TokenFile == "" {
		return "", nil
	}
	failed := func(format string, args ...any) error {
		return lake.Errorf(lake.CodeUnavailable, "its token file: "+format, args...).WithHint("write the token of the catalog into the file that the settings name")
	}
	f, err := os.Open(c.catalog.TokenFile)
	if err != nil {
		return "", failed("%w", err)
	}
	defer f.Close()
	body, err := io.ReadAll(io.LimitReader(f, maxTokenBytes+1))
	token := strings.TrimSpace(string(body))
	switch {
	case err != nil:
		return "", failed("%w", err)
	case len(body) > maxTokenBytes || token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return "", failed("%s holds no token, which is one word", c.catalog.TokenFile)
	}
	return token, nil
}

func noAnswer(err error) error {
	var timeout interface{ Timeout() bool }
	if errors.As(err, &timeout) && timeout.Timeout() {
		return lake.Errorf(lake.CodeUnavailable, "it does not answer in time: %w", err).WithHint("look at the catalog and the network")
	}
	return lake.Errorf(lake.CodeUnavailable, "%w", err).WithHint("look at the catalog, its URI in the settings, and the network")
}

// said is the error of an answer that is none, with the catalog's own words.
func (c catalogCall) said(status int, body []byte) error {
	var answer struct {
		Error struct {
			Message string `json:"message"`
			Type    string `json:"type"`
		} `json:"error"`
	}
	_ = json.Unmarshal(body, &answer) // a proxy before it answers in words of its own
	words := cmp.Or(answer.Error.Message, answer.Error.Type, http.StatusText(status))
	if len(words) > 500 {
		words = strings.ToValidUTF8(words[:500], "") + "…"
	}
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return lake.Errorf(lake.CodeUnavailable, "it refuses tarn (%d): %s", status, words).
			WithHint("look at the token file of the catalog, and at what its token may read")
	case status == http.StatusNotFound && answer.Error.Type != "": // else it is of a server that is no catalog
		return lake.Errorf(lake.CodeNotFound, "%s", words)
	case status == http.StatusTooManyRequests || status >= 500:
		return lake.Errorf(lake.CodeUnavailable, "it fails (%d): %s", status, words).WithHint("try again; if it stays so, look at the catalog")
	}
	return lake.Errorf(lake.CodeUnavailable, "it refuses the request (%d): %s", status, words).WithHint("look at the catalog's URI and warehouse in the settings")
}
