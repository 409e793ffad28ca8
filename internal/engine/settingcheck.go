package engine

import (
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"tarn/internal/base"
	"tarn/internal/lake"
)

// mostThreads is far above what any machine has: a number beyond it is a mistake,
// and DuckDB would try.
const mostThreads = 4096

// check refuses settings that mean nothing. They are whole: defaults are filled in.
func (s Settings) check() error {
	v := reflect.ValueOf(s)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		f := v.Field(i)
		switch x := f.Interface().(type) {
		case int:
			if x < 0 {
				return badSetting(name, x, "must not be below zero")
			}
		case int64:
			if x < 0 && !(x == NoCache && (name == "CacheBytes" || name == "ResultCacheBytes")) {
				return badSetting(name, x, "must not be below zero")
			}
		case float64:
			if !(x >= 0) {
				return badSetting(name, x, "must not be below zero")
			}
		case time.Duration:
			if x < 0 && !(x == NoSync && name == "AttachInterval") {
				return badSetting(name, x, "must not be below zero")
			}
		}
	}
	switch {
	case s.Threads > mostThreads:
		return badSetting("Threads", s.Threads, fmt.Sprintf("must be at most %d", mostThreads))
	case s.CompactDeadShare > 1:
		return badSetting("CompactDeadShare", s.CompactDeadShare, "is a share of a file's rows: it must be at most 1")
	case s.IcebergFold != FoldOff && s.IcebergFold != FoldBounded && s.IcebergFold != FoldAlways:
		return badSetting("IcebergFold", s.IcebergFold, "must be off, bounded or always")
	case base.CheckFormatVersion(s.IcebergFormatVersion) != nil:
		return badSetting("IcebergFormatVersion", s.IcebergFormatVersion, fmt.Sprintf("must be %d or %d", base.VersionDefault, base.VersionVectors))
	case s.JobThreads > mostThreads:
		return badSetting("JobThreads", s.JobThreads, fmt.Sprintf("must be at most %d", mostThreads))
	}
	return nil
}

func badSetting(field string, value any, why string) error {
	return lake.Errorf(lake.CodeInvalidRequest, "the setting %s is %v and %s", settingName(field), value, why)
}

// settingName is a field as settings files spell it: MaxSQLBytes is max_sql_bytes.
func settingName(field string) string {
	switch field {
	case "CacheBytes":
		return "cache_size"
	case "ResultCacheBytes":
		return "result_cache_size"
	}
	var out strings.Builder
	runes := []rune(field)
	for i, r := range runes {
		if unicode.IsUpper(r) && i > 0 && (unicode.IsLower(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			out.WriteByte('_')
		}
		out.WriteRune(unicode.ToLower(r))
	}
	return out.String()
}
