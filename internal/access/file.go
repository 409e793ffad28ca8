package access

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"regexp"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
	"go.yaml.in/yaml/v3"

	"tarn/internal/lake"
)

// document is the file of tokens as YAML.
type document struct {
	Tokens []*Entry `yaml:"tokens"`
}

// Entry is one token in the file.
type Entry struct {
	ID      string            `yaml:"id"`
	SHA256  string            `yaml:"sha256"` // of the token's text, in hex
	Role    string            `yaml:"role,omitempty"`
	Grants  map[string]string `yaml:"grants,omitempty"` // role by pattern
	Metrics bool              `yaml:"metrics,omitempty"`
	Expires time.Time         `yaml:"expires,omitempty"`
	Limits  *EntryLimits      `yaml:"limits,omitempty"`
	Note    string            `yaml:"note,omitempty"`
}

// EntryLimits are a token's limits in the file.
type EntryLimits struct {
	RequestsPerSecond float64 `yaml:"requests_per_second,omitempty"`
	Burst             int     `yaml:"burst,omitempty"`
	Concurrent        int     `yaml:"concurrent,omitempty"`
	BodyBytes         string  `yaml:"body_bytes,omitempty"` // 8MiB, 1GB, 1000
}

var idPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$`)

// maxFileBytes and maxTokens bound the file: every request is compared with every
// token.
const (
	maxFileBytes = 4 << 20
	maxTokens    = 10_000
)

// Parse reads the text of a file. It is strict: what it does not know it refuses, as a
// misspelt grant must not pass for one that holds.
func Parse(text []byte) ([]*Principal, error) {
	doc, err := parse(text)
	if err != nil {
		return nil, err
	}
	out := make([]*Principal, len(doc.Tokens))
	for i, entry := range doc.Tokens {
		if entry == nil {
			return nil, fmt.Errorf("token %d is empty", i+1)
		}
		if out[i], err = entry.principal(); err != nil {
			return nil, fmt.Errorf("token %d (%s): %w", i+1, clip(entry.ID), err)
		}
		for _, before := range out[:i] {
			switch {
			case before.ID == out[i].ID:
				return nil, fmt.Errorf("token %d: the id %s stands there twice", i+1, before.ID)
			case before.hash == out[i].hash:
				return nil, fmt.Errorf("tokens %s and %s are the same token", before.ID, out[i].ID)
			}
		}
	}
	return out, nil
}

func parse(text []byte) (document, error) {
	var doc document
	if len(text) > maxFileBytes {
		return doc, fmt.Errorf("it has %d bytes and may have %d", len(text), maxFileBytes)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(&doc); err != nil && !errors.Is(err, io.EOF) {
		return doc, err
	}
	if err := dec.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return doc, errors.New("it holds more than one document")
	}
	if len(doc.Tokens) > maxTokens {
		return doc, fmt.Errorf("it has %d tokens and may have %d", len(doc.Tokens), maxTokens)
	}
	return doc, nil
}

// principal checks an entry. No message repeats what stands for the hash: it may be a
// token that was put there by mistake.
func (e *Entry) principal() (*Principal, error) {
	p := &Principal{ID: e.ID, Metrics: e.Metrics, Expires: e.Expires, Note: e.Note}
	if !idPattern.MatchString(e.ID) {
		return nil, errors.New("an id is 1 to 64 letters, digits and . _ @ -, the first a letter or digit")
	}
	hash, err := hex.DecodeString(e.SHA256)
	if err != nil || len(hash) != len(p.hash) {
		return nil, errors.New("sha256 is not 64 hex digits")
	}
	copy(p.hash[:], hash)
	switch {
	case e.Role != "" && len(e.Grants) > 0:
		return nil, errors.New("role holds for the whole lake and grants for some datasets: give one of them")
	case e.Role != "":
		if p.Role, err = ParseRole(e.Role); err != nil {
			return nil, err
		}
	case len(e.Grants) == 0 && !e.Metrics:
		return nil, errors.New("it has neither role nor grants, so it could do nothing")
	}
	for _, text := range slices.Sorted(maps.Keys(e.Grants)) {
		g, err := parseGrant(text, e.Grants[text])
		if err != nil {
			return nil, err
		}
		p.Grants = append(p.Grants, g)
	}
	if e.Limits != nil {
		if p.Limits, err = e.Limits.limits(); err != nil {
			return nil, fmt.Errorf("limits: %w", err)
		}
	}
	return p, nil
}

func parseGrant(pattern, role string) (g Grant, err error) {
	if g.Pattern, err = lake.ParseNamePattern(pattern); err != nil {
		return g, err
	}
	if g.Role, err = ParseRole(role); err != nil {
		return g, fmt.Errorf("grant %s: %w", pattern, err)
	}
	if g.Role == Admin {
		return g, fmt.Errorf("grant %s: admin is a role of the whole lake; give role: admin instead of grants", pattern)
	}
	return g, nil
}

func (l *EntryLimits) limits() (Limits, error) {
	out := Limits{RequestsPerSecond: l.RequestsPerSecond, Burst: l.Burst, Concurrent: l.Concurrent}
	if math.IsNaN(out.RequestsPerSecond) || math.IsInf(out.RequestsPerSecond, 0) || out.RequestsPerSecond < 0 || out.Burst < 0 || out.Concurrent < 0 {
		return out, errors.New("a limit is a number above 0, or left out")
	}
	if out.Burst > 0 && out.RequestsPerSecond == 0 {
		return out, errors.New("burst goes with requests_per_second")
	}
	if l.BodyBytes != "" {
		n, err := humanize.ParseBytes(l.BodyBytes)
		if err != nil || n == 0 || n > math.MaxInt64 {
			return out, fmt.Errorf("body_bytes %q is not a size such as 8MiB", clip(l.BodyBytes))
		}
		out.BodyBytes = int64(n)
	}
	return out, nil
}
