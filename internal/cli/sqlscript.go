package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/prompt"
)

// script runs the statements of a text one after the other, up to the first that
// fails. What stands behind the last semicolon is a statement too. What belongs to one
// statement, such as parameters, belongs to the first, which then must be the only one.
func (s *sqlSession) script(ctx context.Context, in io.Reader, first question) error {
	n := 0
	each := func(sql string) error {
		if n++; n > 1 && first.single() {
			return usagef("--param, --if-match and --idempotency-key belong to one statement, and there is a second")
		}
		q := first
		q.sql = sql
		err := s.timed(func() error { return s.ask(ctx, q) })
		if err == nil || n == 1 {
			return err
		}
		return lake.Step(fmt.Sprintf("statement %d", n), err)
	}
	var c prompt.Cutter
	r := bufio.NewReader(in)
	for {
		line, err := r.ReadString('\n')
		if err != nil && err != io.EOF {
			return fmt.Errorf("read the statements from standard input: %w", err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		statements, cutErr := s.take(ctx, &c, strings.TrimRight(line, "\r\n"))
		switch {
		case errors.Is(cutErr, errQuit):
			return nil
		case cutErr != nil:
			return cutErr
		}
		for _, one := range statements {
			if err := each(one); err != nil {
				return err
			}
		}
		if err == io.EOF {
			break
		}
	}
	if rest := c.Rest(); rest != "" {
		return each(rest)
	}
	return nil
}

// take gives the statements that a line ends; a command with a dot it runs.
func (s *sqlSession) take(ctx context.Context, c *prompt.Cutter, line string) ([]string, error) {
	if !c.Open() && strings.HasPrefix(strings.TrimSpace(line), ".") {
		return nil, s.command(ctx, strings.TrimSpace(line))
	}
	return c.Add(line)
}
