package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

// A setting is a flag with the tag `setting`. Its value is, in this order: the
// flag, the environment (TARN_QUERY_TIMEOUT for --query-timeout), the file
// (query_timeout: 5s), the default.

const (
	settingTag    = "setting"
	defaultConfig = "tarn.yaml"
)

func envName(flag string) string  { return "TARN_" + strings.ToUpper(fileName(flag)) }
func fileName(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// configuration is kong's resolver for settings that no flag gave.
type configuration struct {
	env func(string) (string, bool)

	loaded bool
	path   string
	file   map[string]any // a string, or a []any of them; nil without a file
}

// Validate has nothing to say: which file to read is not known yet.
func (c *configuration) Validate(*kong.Application) error { return nil }

// Resolve gives the setting's value of the environment, else of the file.
func (c *configuration) Resolve(ctx *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
	if !flag.Tag.Has(settingTag) {
		return nil, nil
	}
	if v, ok := c.env(envName(flag.Name)); ok {
		return v, nil
	}
	if flag.Name == "config" {
		return nil, nil
	}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	if v, ok := c.file[fileName(flag.Name)]; ok {
		return v, nil
	}
	return nil, nil
}

// load reads the file once: the one that was named, or tarn.yaml if it is there.
func (c *configuration) load(ctx *kong.Context) error {
	if c.loaded {
		return nil
	}
	c.loaded = true
	path, named := "", false
	for _, f := range ctx.Flags() {
		if f.Name == "config" {
			path, _ = ctx.FlagValue(f).(string)
		}
	}
	if path == "" {
		path, _ = c.env(envName("config"))
	}
	if named = path != ""; !named {
		path = defaultConfig
	}
	text, err := os.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !named:
		return nil
	case err != nil:
		return usagef("read the configuration: %w", err)
	}
	c.path = path
	c.file, err = parseConfig(path, text, knownSettings(ctx.Model), listSettings(ctx.Model))
	return err
}

// knownSettings lists the settings of all commands: a file serves them all.
func knownSettings(app *kong.Application) []string {
	return settingsWhere(app, func(*kong.Flag) bool { return true })
}

// listSettings lists those that have several values.
func listSettings(app *kong.Application) []string {
	return settingsWhere(app, func(f *kong.Flag) bool { return f.IsSlice() })
}

func settingsWhere(app *kong.Application, is func(*kong.Flag) bool) []string {
	var names []string
	_ = kong.Visit(app, func(node kong.Visitable, next kong.Next) error {
		if f, ok := node.(*kong.Flag); ok && f.Tag.Has(settingTag) && f.Name != "config" && is(f) {
			names = append(names, fileName(f.Name))
		}
		return next(nil)
	})
	slices.Sort(names)
	return slices.Compact(names)
}

// parseConfig reads `name: value` lines of YAML; those in lists may have a list of
// values. A name that is no setting is an error: a misspelt limit must not pass for one
// that holds.
func parseConfig(path string, text []byte, known, lists []string) (map[string]any, error) {
	var doc map[string]yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(text)).Decode(&doc); err != nil && len(bytes.TrimSpace(text)) > 0 && err.Error() != "EOF" {
		return nil, usagef("%s: %w", path, err)
	}
	out := map[string]any{}
	for name, value := range doc {
		if !slices.Contains(known, name) {
			return nil, usagef("%s:%d: %q is not a setting%s", path, value.Line, name, nearest(name, known))
		}
		switch list := slices.Contains(lists, name); {
		case single(&value):
			out[name] = value.Value
		case list && value.Kind == yaml.SequenceNode:
			all := []any{}
			for _, one := range value.Content {
				if !single(one) {
					return nil, usagef("%s:%d: %s must be a list of single values", path, one.Line, name)
				}
				all = append(all, one.Value)
			}
			out[name] = all
		case list:
			return nil, usagef("%s:%d: %s must be a list of values, or a single one", path, value.Line, name)
		default:
			return nil, usagef("%s:%d: %s must be a single value, like `%s: 5s`", path, value.Line, name, name)
		}
	}
	return out, nil
}

// single says whether a node of YAML is a value that a flag could have.
func single(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag != "!!null" }

// nearest hints at the name that was probably meant.
func nearest(name string, known []string) string {
	norm := func(s string) string { return strings.ToLower(strings.NewReplacer("-", "", "_", "").Replace(s)) }
	for _, k := range known {
		if n := norm(name); norm(k) == n || strings.HasPrefix(norm(k), n) {
			return fmt.Sprintf("; is it %s?", k)
		}
	}
	return "; tarn serve --help lists them"
}

// textOf writes a setting's value as a flag would take it.
func textOf(v any) string {
	switch v := v.(type) {
	case time.Duration:
		return shortDuration(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration is 24h where Go says 24h0m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}
