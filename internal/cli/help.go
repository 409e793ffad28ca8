package cli

import (
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"tarn/internal/engine"
)

// help prints kong's help. The engine's settings work with every command that
// may open a lake; listing all of them is for `serve --help`.
func help(options kong.HelpOptions, ctx *kong.Context) error {
	selected := ctx.Selected()
	if selected != nil && selected.Name != "serve" {
		for _, f := range selected.Flags {
			if f.Group != nil && f.Group.Key == "settings" {
				f.Hidden = true
			}
		}
	}
	return kong.DefaultHelpPrinter(options, ctx)
}

// flagHelp adds to a setting's help its default and its name in the
// environment.
func (p *Program) flagHelp(v *kong.Value) string {
	if !v.Tag.Has(settingTag) {
		return v.Help
	}
	notes := []string{envName(v.Name)}
	if text, ok := settingDefault(engine.Defaults(p.Memory), fieldName(v)); ok {
		notes = append([]string{"default " + text}, notes...)
	} else if v.Default != "" && len(v.Enum) == 0 {
		notes = append([]string{"default " + v.Default}, notes...)
	}
	return strings.TrimSuffix(v.Help, ".") + " (" + strings.Join(notes, "; ") + ")."
}

// fieldName finds the field of settings that a flag's value belongs to.
func fieldName(v *kong.Value) string {
	for name := range settingFields() {
		field, _ := reflect.TypeFor[settings]().FieldByName(name)
		if v.Name == field.Tag.Get("name") || strings.EqualFold(name, strings.ReplaceAll(v.Name, "-", "")) {
			return name
		}
	}
	return ""
}
