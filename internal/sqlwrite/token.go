package sqlwrite

import (
	"strings"
	"unicode"

	"tarn/internal/lake"
	"tarn/internal/sqltext"
)

// tokens cuts a text as sqltext does. It fails besides where names begin with what tarn
// keeps for itself.
func tokens(sql string) ([]sqltext.Token, error) {
	out, err := sqltext.Tokens(sql)
	if err != nil {
		return nil, invalid("%w", err)
	}
	for _, t := range out {
		if err := checkName(sql, t); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// checkName refuses names that tarn gives to parts of a Read, and white space that
// only DuckDB takes for such.
func checkName(sql string, t sqltext.Token) error {
	name := t.Word
	switch t.Kind {
	case sqltext.Quoted:
		name = sqltext.Lower(sqltext.Unquote(sql[t.Start:t.End]))
	case sqltext.Word:
		if strings.IndexFunc(name, func(r rune) bool { return unicode.IsSpace(r) || unicode.In(r, unicode.Cf, unicode.Zs) }) >= 0 {
			return invalid("there is white space that is not ASCII outside of quotes")
		}
	default:
		return nil
	}
	if strings.HasPrefix(name, lake.ReservedColumnPrefix) {
		return lake.Errorf(lake.CodeSQLRefused, "names that begin with %s are tarn's own", lake.ReservedColumnPrefix)
	}
	return nil
}

func invalid(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeSQLInvalid, format, args...)
}

func unsupported(format string, args ...any) *lake.Error {
	return lake.Errorf(lake.CodeUnsupported, format, args...)
}
