package prompt

import (
	"strings"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// MaxStatementBytes is the longest statement that is put together of lines.
const MaxStatementBytes = 16 << 20

// Cutter makes statements of lines. The zero value stands before the first.
type Cutter struct {
	text strings.Builder
	open bool // Rest holds more than space and comments
}

// Add takes a line, without its end, and gives the statements that it ends, without
// their semicolons; those that hold no word are left out. It fails with CodeTooLarge,
// and then has forgotten what came.
func (c *Cutter) Add(line string) ([]string, error) {
	if c.text.Len()+len(line) > MaxStatementBytes {
		c.Reset()
		return nil, lake.Errorf(lake.CodeTooLarge, "a statement has more than %d bytes", MaxStatementBytes).
			WithHint("statements end with a semicolon; many rows come by COPY or tarn import")
	}
	c.text.WriteString(line)
	c.text.WriteByte('\n')
	// Only a semicolon can end a statement: a long one is not looked through at every line.
	if !strings.Contains(line, ";") {
		c.open = c.open || strings.TrimSpace(line) != ""
		return nil, nil
	}
	text := c.text.String()
	done, rest := cut(text)
	c.Reset()
	c.text.WriteString(rest)
	c.open = !blank(rest)
	return done, nil
}

// Rest is what came behind the last semicolon; "" where that is no word of a statement.
func (c *Cutter) Rest() string {
	if rest := strings.TrimSpace(c.text.String()); !blank(rest) {
		return rest
	}
	return ""
}

// Open says whether a statement has begun and not ended.
func (c *Cutter) Open() bool { return c.open }

// Reset forgets what has not ended.
func (c *Cutter) Reset() {
	c.text.Reset()
	c.open = false
}

// cut gives the statements of a text and what is behind the last semicolon. A transaction,
// from BEGIN to COMMIT or ROLLBACK, is one.
func cut(text string) (done []string, rest string) {
	from, part, within := 0, 0, false
	for s := sqltext.New(text); s.Next(); {
		if s.Word != ";" || s.Open {
			continue
		}
		first := firstWord(text[part:s.Start])
		part = s.End()
		if within = within && !ends[first] || !within && begins[first]; within {
			continue
		}
		if one := strings.TrimSpace(text[from:s.Start]); !blank(one) {
			done = append(done, one)
		}
		from = s.End()
	}
	return done, strings.TrimLeft(text[from:], " \t\r\n")
}

// The first words of what begins and ends a transaction.
var begins, ends = sqltext.WordSet("begin start"), sqltext.WordSet("commit end rollback abort")

func firstWord(text string) string {
	s := sqltext.New(text)
	if !s.Next() {
		return ""
	}
	return sqltext.Lower(s.Word)
}

// blank says whether a text holds nothing but space and whole comments.
func blank(text string) bool {
	s := sqltext.New(text)
	return !s.Next() && !s.Open
}
