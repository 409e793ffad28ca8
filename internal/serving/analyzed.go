package serving

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"tarn/internal/lake"
)

// What EXPLAIN ANALYZE shows. DuckDB's profile of a query tells more than its reader may
// see: the paths of files, the names of tables behind a dataset, memory of the whole
// process. So it is read as JSON, and what is shown is what stands on the lists below;
// a metric or a detail that is new in DuckDB is left out until somebody has judged it.

// profile is DuckDB's profile as far as it is shown; of the root, the whole query.
type profile struct {
	Latency     float64                    `json:"latency"`  // seconds
	CPU         float64                    `json:"cpu_time"` // seconds, of all threads
	RowsScanned int64                      `json:"cumulative_rows_scanned"`
	Name        string                     `json:"operator_name"`
	Timing      float64                    `json:"operator_timing"` // seconds, of all threads, without the children
	Rows        int64                      `json:"operator_cardinality"`
	Scanned     int64                      `json:"operator_rows_scanned"`
	Details     map[string]json.RawMessage `json:"extra_info"` // a text, or a list of texts, each
	Children    []profile                  `json:"children"`
}

// shownDetails are the details that are shown, in this order. Not among them: file
// names, file filters, tables (all of them are behind a dataset), settings.
var shownDetails = []string{
	"Function", "Type", "Join Type", "Conditions", "Expression", "Expressions", "Filters", "Projections", "Groups", "Aggregates",
	"Order By", "Top", "Limit", "Offset", "CTE Name", "Scanning Files", "Total Files Read",
}

// analyzedText makes the text of EXPLAIN ANALYZE of a profile.
func (s *Serving) analyzedText(text string, points map[string]lake.Place) (string, error) {
	var root profile
	if err := json.Unmarshal([]byte(text), &root); err != nil {
		return "", lake.Errorf(lake.CodeInternal, "the profile of the query does not parse: %w", err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s, cpu %s, %d rows scanned\n", seconds(root.Latency), seconds(root.CPU), root.RowsScanned)
	operators := root.Children
	if len(operators) == 1 && operators[0].Name == "EXPLAIN_ANALYZE" {
		operators = operators[0].Children
	}
	for _, op := range operators {
		if err := s.writeOperator(&b, op, points, 0); err != nil {
			return "", err
		}
	}
	return b.String(), nil
}

// writeOperator writes an operator, its details below it and then what feeds it, a step
// further in.
func (s *Serving) writeOperator(b *strings.Builder, op profile, points map[string]lake.Place, depth int) error {
	indent := strings.Repeat("  ", depth)
	fmt.Fprintf(b, "%s-> %s (rows %d", indent, op.Name, op.Rows)
	if guess, err := details(op.Details["Estimated Cardinality"]); err == nil && len(guess) == 1 {
		if n, err := strconv.ParseInt(guess[0], 10, 64); err == nil {
			fmt.Fprintf(b, ", estimated %d", n)
		}
	}
	if op.Scanned > 0 {
		fmt.Fprintf(b, ", scanned %d", op.Scanned)
	}
	fmt.Fprintf(b, ", time %s)\n", seconds(op.Timing))
	if name := datasetOf(op, points); name != "" {
		fmt.Fprintf(b, "%s     Dataset: %s\n", indent, name)
	}
	for _, name := range shownDetails {
		values, err := details(op.Details[name])
		if err != nil {
			return lake.Errorf(lake.CodeInternal, "the profile of the query: %s: %w", name, err)
		}
		if len(values) > 0 {
			fmt.Fprintf(b, "%s     %s: %s\n", indent, name, strings.Join(s.clean(values), ", "))
		}
	}
	for _, child := range op.Children {
		if err := s.writeOperator(b, child, points, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// datasetOf gives the dataset that an operator reads, of those of the query: of an
// image by its table's name, of files by their folder's.
func datasetOf(op profile, points map[string]lake.Place) string {
	places := string(op.Details["Table"]) + string(op.Details["Filename(s)"])
	for name, at := range points {
		if strings.Contains(places, imagePrefix+at.TableUUID+"_") || strings.Contains(places, "-"+at.TableUUID+"/") {
			return name
		}
	}
	return ""
}

// details are the texts of a detail.
func details(raw json.RawMessage) ([]string, error) {
	var one string
	var many []string
	switch {
	case len(raw) == 0:
	case raw[0] == '[':
		return many, json.Unmarshal(raw, &many)
	default:
		if err := json.Unmarshal(raw, &one); err != nil {
			return nil, err
		}
		if one != "" {
			many = []string{one}
		}
	}
	return many, nil
}

// clean takes out of texts what stands behind datasets: names of tarn's own, and the
// lake's folders.
func (s *Serving) clean(texts []string) []string {
	out := slices.Clone(texts)
	for i, t := range out {
		t = strings.ReplaceAll(strings.ReplaceAll(t, "\r", " "), "\n", " ")
		out[i] = withoutOwnNames(s.withoutDirs(t))
	}
	return out
}

// withoutOwnNames puts … in the place of names that begin with those of tarn's own
// tables and columns.
func withoutOwnNames(text string) string {
	var b strings.Builder
	for text != "" {
		n := strings.IndexFunc(text, func(r rune) bool { return !isNameRune(r) })
		switch {
		case n < 0:
			n = len(text)
		case n == 0:
			b.WriteByte(text[0])
			text = text[1:]
			continue
		}
		word := text[:n]
		if strings.HasPrefix(word, imagePrefix) { // a uuid follows
			for n < len(text) && (text[n] == '-' || isNameRune(rune(text[n]))) {
				n++
			}
		}
		if low := strings.ToLower(word); strings.HasPrefix(low, lake.ReservedColumnPrefix) || low == internalSchema || strings.HasPrefix(low, imagePrefix) {
			word = "…"
		}
		b.WriteString(word)
		text = text[n:]
	}
	return b.String()
}

func isNameRune(r rune) bool {
	return r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
}

// seconds writes a time for people.
func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(time.Microsecond).String()
}
