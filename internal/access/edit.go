package access

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"go.yaml.in/yaml/v3"
)

// Text gives entries as they stand in a file.
func Text(entries ...*Entry) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(document{entries}); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// List gives the entries of a file that Parse accepts.
func List(path string) ([]*Entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	if _, err := Parse(text); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	doc, err := parse(text)
	return doc.Tokens, err
}

// Add puts an entry into a file, which is made where there is none.
func Add(path string, e *Entry) error {
	return edit(path, func(all []*Entry) ([]*Entry, error) { return append(all, e), nil })
}

// ErrNoToken says that a file has no token of an id.
var ErrNoToken = errors.New("there is no such token")

// Remove takes the token of an id out of a file.
func Remove(path, id string) error {
	return edit(path, func(all []*Entry) ([]*Entry, error) {
		i := slices.IndexFunc(all, func(e *Entry) bool { return e.ID == id })
		if i < 0 {
			return nil, ErrNoToken
		}
		return slices.Delete(all, i, i+1), nil
	})
}

const fileHead = "# The tokens of a tarn server, by their SHA-256. docs/SECURITY.md says what each line\n# means. The server reads the file again when it changes.\n"

// edit writes a file anew, whole or not at all. Comments in it are lost.
func edit(path string, change func([]*Entry) ([]*Entry, error)) error {
	all, err := List(path)
	if errors.Is(err, fs.ErrNotExist) {
		all, err = nil, nil
	}
	if err != nil {
		return err
	}
	if all, err = change(all); err != nil {
		return err
	}
	text, err := Text(all...)
	if err != nil {
		return err
	}
	text = append([]byte(fileHead), text...)
	if _, err := Parse(text); err != nil {
		return err
	}
	return replace(path, text)
}

func replace(path string, text []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".tokens-*") // with the mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name()) // the first error is the one to tell
		}
	}()
	_, err = f.Write(text)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
