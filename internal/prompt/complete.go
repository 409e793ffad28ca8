package prompt

import (
	"slices"
	"strings"

	"tarn/internal/sqltext"
)

// Vocabulary is the names that there are. Its functions may ask a server; where that
// fails they give none.
type Vocabulary struct {
	Commands []string                      // with their dots
	Datasets func() []string               // as SHOW TABLES names them
	Columns  func(dataset string) []string // of one of these
}

// keywords are completed where a statement may have them.
var keywords = strings.Fields(`
all alter and anti as asc asof begin between by case cast columns commit copy create cross delete desc describe distinct do drop else
end except exclude exists explain extract false filter first following from full group grouping having if ilike in inner
insert intersect interval into is join key last lateral left like limit materialized natural not null nulls offset on
or order outer over partition pivot positional preceding primary qualify range recursive replace right rollback row rows sample
select semi set show similar struct summarize table tables then to true union unnest unpivot update using values when
where window with`)

// Complete says what the name before the cursor can become. before is the statement's
// text up to the cursor, with the lines before. word is its last name as far as it is
// typed, and candidates are whole names that begin so, in order.
func (v Vocabulary) Complete(before string) (word string, candidates []string) {
	if command, ok := strings.CutPrefix(before, "."); ok {
		return v.command(command)
	}
	words, open := wordsOf(before)
	if open {
		return "", nil // within a string or a comment
	}
	at := len(before)
	for at > 0 && nameByte(before[at-1]) {
		at--
	}
	word = before[at:]
	datasets := v.Datasets()
	var all []string
	for _, d := range datasets {
		all = append(all, quotedName(d))
	}
	for _, d := range named(words, datasets) {
		for _, c := range v.Columns(d) {
			all = append(all, sqltext.Quote(c))
		}
	}
	qualifier, rest, dotted := cutLast(word)
	if dotted && !slices.ContainsFunc(datasets, func(d string) bool { return hasPrefixFold(d, word) }) {
		return rest, v.qualified(qualifier, rest, words, datasets)
	}
	if word == "" {
		return "", matching(all, "")
	}
	for _, k := range keywords {
		if hasPrefixFold(k, word) {
			all = append(all, inCaseOf(word, k))
		}
	}
	return word, matching(all, word)
}

// command completes a command with a dot, or the dataset behind it.
func (v Vocabulary) command(typed string) (string, []string) {
	if name, after, ok := strings.Cut(typed, " "); ok && name != "" {
		after = strings.TrimLeft(after, " ")
		return after, matching(v.Datasets(), after)
	}
	return "." + typed, matching(v.Commands, "."+typed)
}

// qualified gives the columns of the dataset of a name, or behind an alias those of
// all datasets that the text names.
func (v Vocabulary) qualified(qualifier, rest string, words, datasets []string) []string {
	from := named(words, datasets)
	for _, d := range datasets {
		if strings.EqualFold(d, qualifier) {
			from = []string{d}
		}
	}
	var all []string
	for _, d := range from {
		for _, c := range v.Columns(d) {
			all = append(all, sqltext.Quote(c))
		}
	}
	return matching(all, rest)
}

// named gives the datasets that a text names.
func named(words, datasets []string) (out []string) {
	for _, d := range datasets {
		_, last, _ := cutLast(d)
		if slices.ContainsFunc(words, func(w string) bool { return strings.EqualFold(w, last) }) {
			out = append(out, d)
		}
	}
	return out
}

// wordsOf gives the names of a text; open says that it ends within quotes or a comment.
func wordsOf(text string) (words []string, open bool) {
	s := sqltext.New(text)
	end := 0
	for s.Next() {
		if text[s.Start] == '"' && !s.Open {
			words = append(words, sqltext.Unquote(text[s.Start:s.End()]))
		} else {
			words = append(words, s.Word)
		}
		end = s.End()
	}
	return words, s.Open || strings.Contains(text[end:], "--")
}

func nameByte(c byte) bool {
	return c == '_' || c == '.' || c >= 0x80 || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z'
}

// cutLast cuts a name at its last dot.
func cutLast(name string) (before, after string, dotted bool) {
	at := strings.LastIndexByte(name, '.')
	if at < 0 {
		return "", name, false
	}
	return name[:at], name[at+1:], true
}

// quotedName writes a dataset's name, the parts of which hold no dots.
func quotedName(name string) string {
	parts := strings.Split(name, ".")
	for i, p := range parts {
		parts[i] = sqltext.Quote(p)
	}
	return strings.Join(parts, ".")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// inCaseOf writes a keyword as the typed part of it is written.
func inCaseOf(typed, keyword string) string {
	if typed == strings.ToUpper(typed) && typed != strings.ToLower(typed) {
		return strings.ToUpper(keyword)
	}
	return keyword
}

// matching gives those that begin with a text, each once, in order.
func matching(all []string, prefix string) []string {
	out := slices.DeleteFunc(slices.Clone(all), func(s string) bool {
		return !hasPrefixFold(s, prefix) && !(strings.HasPrefix(s, `"`) && prefix != "" && hasPrefixFold(s[1:], prefix))
	})
	slices.SortFunc(out, func(a, b string) int { return strings.Compare(strings.ToLower(a), strings.ToLower(b)) })
	return slices.Compact(out)
}

// commonPrefix is what all of some candidates begin with, written as the first is.
func commonPrefix(all []string) string {
	prefix := all[0]
	for _, s := range all[1:] {
		for !hasPrefixFold(s, prefix) {
			prefix = prefix[:len(prefix)-1]
		}
	}
	return strings.ToValidUTF8(prefix, "")
}
