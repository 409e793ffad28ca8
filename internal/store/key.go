package store

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"tarn/internal/lake"
)

// Names directly under the root of a local lake that are no objects: the lock
// file, and the node's own state.
const (
	lockName  = "lock"
	stateName = "state"
)

const maxSegment = 255 // bytes, what file systems take as a name

// CheckKey says whether key can be an object's: slash-separated segments of
// UTF-8, none of them empty, hidden (a dot first) or over 255 bytes, the first
// one neither "lock" nor "state".
func CheckKey(key string) error {
	if key == "" {
		return lake.Errorf(lake.CodeInvalidRequest, "an object's key is empty")
	}
	return checkSegments(key, key)
}

func checkSegments(key, segments string) error {
	if !utf8.ValidString(segments) || strings.ContainsFunc(segments, unicode.IsControl) || strings.Contains(segments, `\`) {
		return badKey(key, "it has a control character, a backslash or invalid UTF-8")
	}
	for i, seg := range strings.Split(segments, "/") {
		switch {
		case seg == "":
			return badKey(key, "a segment is empty")
		case seg[0] == '.':
			return badKey(key, "a segment starts with a dot")
		case len(seg) > maxSegment:
			return badKey(key, "a segment is longer than 255 bytes")
		case i == 0 && (seg == lockName || seg == stateName):
			return badKey(key, "the name "+seg+" is not the store's")
		}
	}
	return nil
}

// CheckOthersKey says whether key can name an object of others: they are freer than a
// lake is. What HTTP clients and stores may read as a way to somewhere else is refused.
func CheckOthersKey(key string) error {
	switch {
	case key == "":
		return lake.Errorf(lake.CodeInvalidRequest, "an object's key is empty")
	case !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl):
		return badKey(key, "it has a control character or invalid UTF-8")
	}
	for seg := range strings.SplitSeq(key, "/") {
		if seg == "." || seg == ".." {
			return badKey(key, "a segment is "+seg)
		}
	}
	return nil
}

func badKey(key, why string) error {
	return lake.Errorf(lake.CodeInvalidRequest, "%q is not an object's key: %s", key, why)
}

// checkRoot refuses a folder whose URI or path other readers would read as
// something else: escapes, queries, fragments, glob patterns.
func checkRoot(dir string) error {
	for _, r := range dir {
		if r <= ' ' || r > '~' || strings.ContainsRune("%?#*[]{}\"'`\\", r) {
			return lake.Errorf(lake.CodeInvalidRequest, "the lake's folder %q has the character %q in its path", dir, r).
				WithHint("choose a folder whose path has no spaces, no %%, no non-ASCII characters and none of ? # * [ ] { } quotes and backslash: other Iceberg readers break on them")
		}
	}
	return nil
}
