package job

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"tarn/internal/lake"
)

// dialect is how a CSV file is written, as sniff_csv found it.
type dialect struct {
	delimiter, quote, escape, dateFormat, timestampFormat string
	columns                                               []struct{ Name, Type string }
}

// plain says whether the decoder of package rows reads the dialect too.
func (d dialect) plain() bool {
	return d.delimiter == "," && d.quote == `"` && d.escape == `"`
}

// sniff finds the dialect and the types of a CSV file. all looks at every row,
// so that the types hold for all of them. Lines are never skipped, whether they
// look like a preamble or like comments: they would be rows lost in silence.
func (s *session) sniff(ctx context.Context, f InputFile, link string, all bool) (dialect, error) {
	options := ""
	if all {
		options = ", sample_size = -1"
	}
	d, err := s.sniffWith(ctx, link, options)
	unclear := lake.CodeOf(err) == lake.CodeInvalidRequest
	if err != nil && !unclear {
		return dialect{}, err
	}
	// Lines of different lengths make a file look like none, or like one of a
	// single column: then say which line it is.
	if unclear || len(d.columns) == 1 && strings.ContainsAny(d.columns[0].Name, delimiters) {
		if uneven := unevenLine(f); uneven != nil {
			return dialect{}, uneven
		}
	}
	return d, err
}

func (s *session) sniffWith(ctx context.Context, link, options string) (dialect, error) {
	found, err := s.texts(ctx, fmt.Sprintf(`SELECT "Delimiter", "Quote", "Escape", "DateFormat", "TimestampFormat", to_json("Columns")::VARCHAR
		FROM sniff_csv(%s, header = true, allow_quoted_nulls = false, skip = 0, comment = ''%s)`, lake.QuoteString(link), options))
	if err != nil {
		return dialect{}, s.readFailure(err)
	}
	if len(found) != 1 {
		return dialect{}, lake.Errorf(lake.CodeInternal, "sniff_csv gave %d rows", len(found))
	}
	row := found[0]
	for i := range row[:3] {
		if row[i] == "(empty)" {
			row[i] = ""
		}
	}
	d := dialect{delimiter: row[0], quote: row[1], escape: row[2], dateFormat: row[3], timestampFormat: row[4]}
	if d.quote == "" {
		d.quote = `"` // none was seen, so that any does
	}
	if d.escape == "" {
		d.escape = d.quote
	}
	if err := json.Unmarshal([]byte(row[5]), &d.columns); err != nil {
		return dialect{}, lake.Errorf(lake.CodeInternal, "sniff_csv: columns: %w", err)
	}
	return d, nil
}

// read is the FROM clause that reads a file of the dialect with the types given.
func (d dialect) read(link string, types []string) string {
	columns := make([]string, len(d.columns))
	for i, c := range d.columns {
		columns[i] = lake.QuoteString(c.Name) + ": " + lake.QuoteString(types[i])
	}
	options := []string{
		"auto_detect = false", "header = true", "allow_quoted_nulls = false",
		"delim = " + lake.QuoteString(d.delimiter), "quote = " + lake.QuoteString(d.quote),
		"escape = " + lake.QuoteString(d.escape),
		"columns = {" + list(columns) + "}",
	}
	for name, value := range map[string]string{"dateformat": d.dateFormat, "timestampformat": d.timestampFormat} {
		if value != "" {
			options = append(options, name+" = "+lake.QuoteString(value))
		}
	}
	return fmt.Sprintf("read_csv(%s, %s)", lake.QuoteString(link), list(options))
}

func (s *session) describeCSV(ctx context.Context, f InputFile) (*input, error) {
	link, err := s.textLink(f, ".csv")
	if err != nil {
		return nil, err
	}
	d, err := s.sniff(ctx, f, link, true)
	if err != nil {
		return nil, err
	}
	types := make([]string, len(d.columns))
	for i, c := range d.columns {
		types[i] = c.Type
	}
	from := func(as map[int]lake.Type) string {
		chosen := append([]string(nil), types...)
		for i, t := range as {
			chosen[i] = t.SQL()
		}
		return d.read(link, chosen)
	}
	columns, err := s.describeQuery(ctx, f, from(nil))
	if err != nil {
		return nil, err
	}
	return &input{file: f, columns: columns, from: from, retyping: true}, nil
}

// delimiters are those that a CSV file may have.
const delimiters = ",;\t|"

// unevenLine gives the error of the first line of a CSV file that does not
// parse or has another number of fields than the header; nil if there is none.
func unevenLine(f InputFile) error {
	b, err := unpack(f.Path, f)
	if err != nil {
		return err
	}
	defer b.Close()
	r := csv.NewReader(b.Reader)
	r.ReuseRecord = true
	if r.Comma, err = headerDelimiter(f); err != nil {
		return err
	}
	for {
		_, err := r.Read()
		var p *csv.ParseError
		switch {
		case errors.As(err, &p):
			return lake.Errorf(lake.CodeInvalidRequest, "%s line %d: %w", f.Name, p.Line, p.Err)
		case err != nil:
			return nil // the end, or what is no fault of a line
		}
	}
}

// headerDelimiter is the delimiter that the first line has most of.
func headerDelimiter(f InputFile) (rune, error) {
	b, err := unpack(f.Path, f)
	if err != nil {
		return 0, err
	}
	defer b.Close()
	head := make([]byte, 64<<10)
	n, _ := b.Read(head) // what cannot be read here fails there too
	line, _, _ := strings.Cut(string(head[:n]), "\n")
	best := ','
	for _, d := range delimiters {
		if strings.Count(line, string(d)) > strings.Count(line, string(best)) {
			best = d
		}
	}
	return best, nil
}
