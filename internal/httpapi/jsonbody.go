package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strings"
	"unicode/utf8"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/rows"
)

// maxJSONBytes bounds the small JSON bodies that are requests, not rows.
const maxJSONBytes = 8 << 20

// readText reads a small body whole. It must be UTF-8.
func (a *api) readText(c *call, limit int64, setting string) ([]byte, error) {
	u, err := a.upload(c, limit, setting)
	if err != nil {
		return nil, err
	}
	b, err := io.ReadAll(u)
	if err != nil {
		return nil, err
	}
	if !utf8.Valid(b) {
		return nil, lake.Errorf(lake.CodeInvalidRequest, "the body is not UTF-8")
	}
	return b, nil
}

// readNamed reads what a call takes that changes the dataset in its path, once for an
// Idempotency-Key, as a small JSON body says.
func (a *api) readNamed(c *call, into any) (name lake.Name, idem engine.Idempotency, err error) {
	if name, err = c.name(); err != nil {
		return name, idem, err
	}
	if idem, err = c.idempotency(); err != nil {
		return name, idem, err
	}
	return name, idem, a.readJSON(c, into)
}

// readJSON reads a small JSON body into a struct, strictly.
func (a *api) readJSON(c *call, into any) error {
	if _, err := mediaOf(c.r.Header.Get("Content-Type"), rows.MediaJSON); err != nil {
		return err
	}
	b, err := a.readText(c, maxJSONBytes, "")
	if err != nil {
		return err
	}
	return decodeStrict(b, into)
}

// decodeStrict decodes one JSON object. encoding/json lets pass what is most
// likely a mistake: fields that are not known or in another case, fields that
// appear twice, a second value behind the first. These are refused by name.
func decodeStrict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	if err := checkValue(dec, reflect.TypeOf(into).Elem(), "", 0); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return lake.Errorf(lake.CodeInvalidRequest, "something follows the JSON object in the body")
	}
	if err := json.Unmarshal(b, into); err != nil {
		return badJSON(err)
	}
	return nil
}

func badJSON(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return lake.Errorf(lake.CodeInvalidRequest, "the body is not JSON: it ends early")
	}
	if wrong, ok := err.(*json.UnmarshalTypeError); ok {
		return lake.Errorf(lake.CodeInvalidRequest, "field %q cannot be a JSON %s", wrong.Field, wrong.Value)
	}
	return lake.Errorf(lake.CodeInvalidRequest, "the body is not JSON: %w", err)
}

// maxJSONDepth bounds nesting; nothing that is asked for comes near.
const maxJSONDepth = 100

// checkValue walks one value by its tokens beside the Go type that it goes
// into. Where the type is open (any, raw JSON), only double fields are looked
// for.
func checkValue(dec *json.Decoder, t reflect.Type, at string, depth int) error {
	if depth > maxJSONDepth {
		return lake.Errorf(lake.CodeInvalidRequest, "the body is nested deeper than %d", maxJSONDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	tok, err := dec.Token()
	if err != nil {
		return badJSON(err)
	}
	open, nested := tok.(json.Delim)
	if depth == 0 && (!nested || open != '{') {
		return lake.Errorf(lake.CodeInvalidRequest, "the body must be a JSON object")
	}
	switch {
	case !nested:
		return nil
	case open == '{':
		if err := checkObject(dec, t, at, depth); err != nil {
			return err
		}
	default:
		var elem reflect.Type
		if t != nil && t.Kind() == reflect.Slice && t != reflect.TypeFor[json.RawMessage]() {
			elem = t.Elem()
		}
		for i := 0; dec.More(); i++ {
			if err := checkValue(dec, elem, fmt.Sprintf("%s[%d]", at, i), depth+1); err != nil {
				return err
			}
		}
	}
	if _, err := dec.Token(); err != nil { // the closing bracket
		return badJSON(err)
	}
	return nil
}

func checkObject(dec *json.Decoder, t reflect.Type, at string, depth int) error {
	var fields map[string]reflect.Type
	var names []string
	if t != nil && t.Kind() == reflect.Struct {
		fields, names = jsonFields(t)
	}
	seen := map[string]bool{}
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return badJSON(err)
		}
		name, _ := tok.(string) // the decoder takes nothing else for a name
		path := strings.TrimPrefix(at+"."+name, ".")
		if seen[name] {
			return lake.Errorf(lake.CodeInvalidRequest, "field %q appears twice", clip(path))
		}
		seen[name] = true
		inner, known := fields[name]
		if fields != nil && !known {
			return lake.Errorf(lake.CodeInvalidRequest, "field %q is not known", clip(path)).
				WithHint("known are %s", strings.Join(names, ", "))
		}
		if err := checkValue(dec, inner, path, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// jsonFields gives the fields of a struct by their JSON names.
func jsonFields(t reflect.Type) (map[string]reflect.Type, []string) {
	fields, names := map[string]reflect.Type{}, []string{}
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		fields[name] = t.Field(i).Type
		names = append(names, name)
	}
	return fields, names
}

// mustJSON renders what is made of our own types.
func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// reply answers with JSON.
func (c *call) reply(status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return lake.Errorf(lake.CodeInternal, "encode the answer: %w", err)
	}
	c.w.Header().Set("Content-Type", rows.MediaJSON)
	c.w.WriteHeader(status)
	_, _ = c.w.Write(append(b, '\n')) // a client that is gone needs no answer
	return nil
}
