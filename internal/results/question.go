package results

import (
	"bytes"
	"encoding/json"
	"strings"

	"tarn/internal/lake"
	"tarn/internal/rows"
)

// Question is what decides an answer beside the data, as a text to compare.
type Question string

// NewQuestion makes the question of a query. Texts that differ in white space
// alone, or in a semicolon at the end, are one question. Who sees other datasets asks
// another question: an answer is given again only to those who could have had it.
func NewQuestion(sql string, params json.RawMessage, format rows.OutFormat, visible *lake.NameSet) Question {
	var plain bytes.Buffer
	if json.Compact(&plain, params) != nil {
		plain.Reset()
		plain.Write(params)
	}
	sees := "all"
	if visible != nil {
		text, _ := json.Marshal(visible) // names, which always encode
		sees = string(text)
	}
	return Question(format.ContentType() + "\x00" + sees + "\x00" + plain.String() + "\x00" + plainSQL(sql))
}

// plainSQL makes each run of white space outside of quotes one blank, and takes
// blanks and semicolons off the end. A text with comments, or with quotes of other
// kinds than ' and ", stays as it is: to be taken for two questions costs a second
// entry, to be taken for one a wrong answer.
func plainSQL(sql string) string {
	if strings.Contains(sql, "--") || strings.Contains(sql, "/*") || strings.ContainsAny(sql, "$\\") {
		return sql
	}
	out := make([]byte, 0, len(sql))
	var quote byte
	blank := false
	for i := range len(sql) {
		c := sql[i]
		switch {
		case quote != 0:
			if c == quote { // a doubled one ends here and begins again at once
				quote = 0
			}
		case c == ' ' || c == '\t' || c == '\n' || c == '\r':
			blank = len(out) > 0
			continue
		case c == '\'' || c == '"':
			quote = c
		}
		if blank {
			out = append(out, ' ')
			blank = false
		}
		out = append(out, c)
	}
	if quote != 0 {
		return sql
	}
	return strings.TrimRight(string(out), " ;")
}
