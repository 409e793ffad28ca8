package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"tarn/internal/client"
	"tarn/internal/lake"
	"tarn/internal/prompt"
	"tarn/internal/rows"
)

const (
	promptText = "tarn> "
	promptMore = " ...> "
	// namesPatience is how long Tab waits for names.
	namesPatience = 2 * time.Second
)

// converse is the prompt: it reads statements that a person types, until Ctrl-D.
func (s *sqlSession) converse(ctx context.Context, historyFile string) error {
	history, err := prompt.OpenHistory(s.p.historyPath(historyFile))
	if err != nil {
		fmt.Fprintf(s.p.Stderr, "tarn: what is typed is not kept: %v\n", err)
		if history, err = prompt.OpenHistory(""); err != nil {
			return err
		}
	}
	defer s.p.Interrupts.hand(s.running.interrupt)()
	var c prompt.Cutter
	term, _ := s.p.Env("TERM")
	names := &knownNames{s: s, ctx: ctx}
	e := prompt.NewEditor(ctx, s.p.Stdin.(*os.File), s.p.Stdout.(*os.File), history, names.vocabulary(), c.Rest, term != "dumb")
	fmt.Fprintf(s.p.Stdout, "tarn %s on %s. A statement ends with ; and .help lists the commands.\n", s.p.Version, s.d.Where)
	for {
		text := promptText
		if c.Open() {
			text = promptMore
		}
		line, err := e.ReadLine(text)
		switch {
		case errors.Is(err, prompt.ErrInterrupted):
			c.Reset()
			continue
		case errors.Is(err, io.EOF):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil:
			fmt.Fprintf(s.p.Stderr, "tarn: %v\n", err)
			c.Reset()
			continue
		}
		if err := s.typed(ctx, &c, line, history); errors.Is(err, errQuit) {
			return nil
		}
		names.forget()
	}
}

// typed takes a line that was typed; only .quit is an error.
func (s *sqlSession) typed(ctx context.Context, c *prompt.Cutter, line string, history *prompt.History) error {
	whole := line
	if before := c.Rest(); before != "" {
		whole = before + "\n" + line
	}
	statements, err := s.takeTyped(ctx, c, line)
	if errors.Is(err, errQuit) {
		return err
	}
	if !c.Open() && (len(statements) > 0 || whole == line) {
		if err := history.Keep(whole); err != nil {
			fmt.Fprintf(s.p.Stderr, "tarn: what is typed is not kept: %v\n", err)
		}
	}
	if err != nil {
		report(s.p.Stderr, err)
	}
	for _, sql := range statements {
		if err := s.answer(ctx, sql); err != nil {
			report(s.p.Stderr, err)
			break
		}
	}
	return nil
}

// takeTyped is take; Ctrl-C ends what a command with a dot asks.
func (s *sqlSession) takeTyped(ctx context.Context, c *prompt.Cutter, line string) ([]string, error) {
	ctx, end := s.running.begin(ctx)
	defer end()
	return s.take(ctx, c, line)
}

// answer runs a statement, which Ctrl-C ends.
func (s *sqlSession) answer(ctx context.Context, sql string) error {
	ctx, end := s.running.begin(ctx)
	defer end()
	return s.timed(func() error { return s.ask(ctx, question{sql: sql}) })
}

// historyPath is where the prompt keeps what was typed; "" keeps nothing.
func (p *Program) historyPath(asked string) string {
	switch asked {
	case "none":
		return ""
	case "":
	default:
		return asked
	}
	state, _ := p.Env("XDG_STATE_HOME")
	if !filepath.IsAbs(state) {
		home, ok := p.Env("HOME")
		if !ok || home == "" {
			return ""
		}
		state = filepath.Join(home, ".local", "state")
	}
	return filepath.Join(state, "tarn", "sql_history")
}

// knownNames asks the lake for names that Tab completes, each once between statements.
type knownNames struct {
	s        *sqlSession
	ctx      context.Context
	datasets []string
	columns  map[string][]string
}

// forget makes names be asked for again: a statement may have changed them.
func (k *knownNames) forget() { k.datasets, k.columns = nil, nil }

func (k *knownNames) vocabulary() prompt.Vocabulary {
	v := prompt.Vocabulary{
		Datasets: func() []string {
			if k.datasets == nil {
				k.datasets = k.ask("SHOW TABLES", "name")
			}
			return k.datasets
		},
		Columns: func(dataset string) []string {
			if k.columns == nil {
				k.columns = map[string][]string{}
			}
			if name, err := lake.ParseName(dataset); err == nil && k.columns[dataset] == nil {
				k.columns[dataset] = k.ask("DESCRIBE "+name.SQL(), "column_name")
			}
			return k.columns[dataset]
		},
	}
	for _, c := range dotCommands() {
		v.Commands = append(v.Commands, c.name)
	}
	return v
}

// ask gives a column of texts; where the lake does not answer, none.
func (k *knownNames) ask(sql, column string) []string {
	ctx, cancel := context.WithTimeout(k.ctx, namesPatience)
	defer cancel()
	a, err := k.s.d.SQL(ctx, client.Query{SQL: sql, Format: rows.OutNDJSON, Timeout: namesPatience})
	if err != nil {
		return nil
	}
	defer a.Close()
	out := []string{}
	for d := json.NewDecoder(a); ; {
		var row map[string]any
		if d.Decode(&row) != nil {
			return out
		}
		if name, ok := row[column].(string); ok {
			out = append(out, name)
		}
	}
}
