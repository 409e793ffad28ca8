package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"tarn/internal/engine"
	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// errQuit is .quit.
var errQuit = errors.New("quit")

// dotCommand is a command of the prompt itself.
type dotCommand struct {
	name, argument, help string
	run                  func(s *sqlSession, ctx context.Context, argument string) error
}

// dotCommands is a function, as .help names them all.
func dotCommands() []dotCommand {
	return []dotCommand{
		{".datasets", "", "list the datasets; .tables is the same", (*sqlSession).datasets},
		{".exit", "", "end; so do .quit and Ctrl-D", func(*sqlSession, context.Context, string) error { return errQuit }},
		{".help", "", "this list", (*sqlSession).help},
		{".mode", "[FORMAT]", "show answers as " + strings.Join(modes(), ", "), (*sqlSession).mode},
		{".quit", "", "end", func(*sqlSession, context.Context, string) error { return errQuit }},
		{".schema", "[NAME]", "show a dataset, or all, as CREATE TABLE", (*sqlSession).schema},
		{".tables", "", "list the datasets", (*sqlSession).datasets},
		{".timing", "on|off", "say after each statement how long it took", (*sqlSession).setTiming},
	}
}

// modes are the formats of .mode.
func modes() []string {
	var out []string
	for name := range outputs {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// command runs a command with a dot.
func (s *sqlSession) command(ctx context.Context, line string) error {
	name, argument, _ := strings.Cut(line, " ")
	for _, c := range dotCommands() {
		if !strings.EqualFold(c.name, name) {
			continue
		}
		argument = strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(argument), ";"))
		if c.argument == "" && argument != "" {
			return usagef("%s takes nothing", c.name)
		}
		return c.run(s, ctx, argument)
	}
	return usagef("%s is no command", name).withHint(".help lists them")
}

func (s *sqlSession) help(context.Context, string) error {
	for _, c := range dotCommands() {
		if _, err := fmt.Fprintf(s.p.Stdout, "%-18s %s\n", strings.TrimSpace(c.name+" "+c.argument), c.help); err != nil {
			return err
		}
	}
	_, err := fmt.Fprintln(s.p.Stdout, "A statement ends with a semicolon. Tab completes, the arrows and Ctrl-R go through what was typed,\nCtrl-C ends a statement. A line that begins with a space is not kept.")
	return err
}

func (s *sqlSession) mode(_ context.Context, format string) error {
	if format == "" {
		_, err := fmt.Fprintln(s.p.Stdout, s.output)
		return err
	}
	if _, known := outputs[format]; !known {
		return usagef("%s is no format", format).withHint("one of %s", strings.Join(modes(), ", "))
	}
	return s.setOutput(format)
}

func (s *sqlSession) setTiming(_ context.Context, word string) error {
	switch word {
	case "on", "off":
		s.timing = word == "on"
		return nil
	}
	return usagef(".timing on, or .timing off")
}

// timed runs a statement and, where that is asked for, says how long it took.
func (s *sqlSession) timed(run func() error) error {
	began := time.Now()
	err := run()
	if s.timing {
		fmt.Fprintf(s.p.Stderr, "took %s\n", elapsed(time.Since(began)))
	}
	return err
}

func (s *sqlSession) datasets(ctx context.Context, _ string) error {
	all, err := s.d.Datasets(ctx)
	if err != nil {
		return err
	}
	if len(all) == 0 {
		_, err := fmt.Fprintf(s.p.Stdout, "no datasets in %s yet\n", s.d.Where)
		return err
	}
	writeList(s.p.Stdout, all, width(s.p.Stdout))
	return nil
}

func (s *sqlSession) schema(ctx context.Context, name string) error {
	var all []engine.Description
	var err error
	if name == "" {
		all, err = s.d.Datasets(ctx)
	} else {
		var one lake.Name
		if one, err = lake.ParseName(name); err == nil {
			all = make([]engine.Description, 1)
			all[0], err = s.d.Describe(ctx, one)
		}
	}
	if err != nil {
		return err
	}
	for _, d := range all {
		if _, err := fmt.Fprintln(s.p.Stdout, createText(d)); err != nil {
			return err
		}
	}
	return nil
}

// createText is a dataset as the statement that makes it.
func createText(d engine.Description) string {
	var lines []string
	for _, c := range d.Columns {
		line := "  " + sqltext.Quote(c.Name) + " " + c.Type
		if !c.Nullable {
			line += " NOT NULL"
		}
		lines = append(lines, shown(line))
	}
	if len(d.PrimaryKey) > 0 {
		quoted := make([]string, len(d.PrimaryKey))
		for i, k := range d.PrimaryKey {
			quoted[i] = sqltext.Quote(k)
		}
		lines = append(lines, shown("  PRIMARY KEY ("+strings.Join(quoted, ", ")+")"))
	}
	name := strings.Split(d.Dataset, ".")
	for i := range name {
		name[i] = sqltext.Quote(name[i])
	}
	return "CREATE TABLE " + strings.Join(name, ".") + " (\n" + strings.Join(lines, ",\n") + "\n);"
}
