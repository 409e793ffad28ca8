package lake

import (
	"regexp"
	"strings"
)

// DefaultNamespace is the namespace of a dataset whose name does not say one.
const DefaultNamespace = "main"

// Name is a dataset's name. Case is kept as written and does not distinguish:
// compare with Key.
type Name struct {
	Namespace string `json:"namespace"`
	Dataset   string `json:"dataset"`
}

var namePart = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]{0,127}$`)

// reservedNamespaces are names that mean something else where datasets are queried.
var reservedNamespaces = map[string]bool{
	"information_schema": true, "pg_catalog": true, "system": true, "temp": true, "lake": true, "memory": true,
}

// ParseName reads `[namespace.]name`. It fails with CodeInvalidRequest.
func ParseName(s string) (Name, error) {
	n := Name{Namespace: DefaultNamespace, Dataset: s}
	if ns, name, ok := strings.Cut(s, "."); ok {
		n = Name{Namespace: ns, Dataset: name}
	}
	for _, part := range []string{n.Namespace, n.Dataset} {
		if !namePart.MatchString(part) {
			return Name{}, Errorf(CodeInvalidRequest, "%q is not a dataset name", s).
				WithHint("a name is [namespace.]name; each part starts with a letter or _, then letters, digits and _, at most 128")
		}
	}
	if ns := strings.ToLower(n.Namespace); reservedNamespaces[ns] || strings.HasPrefix(ns, "_tarn") {
		return Name{}, Errorf(CodeInvalidRequest, "the namespace %q is reserved", n.Namespace).
			WithHint("choose another namespace")
	}
	return n, nil
}

// String is the name as a user writes it: without the namespace main.
func (n Name) String() string {
	if strings.EqualFold(n.Namespace, DefaultNamespace) {
		return n.Dataset
	}
	return n.Namespace + "." + n.Dataset
}

// Key is equal for names that mean the same dataset.
func (n Name) Key() string { return strings.ToLower(n.Namespace + "." + n.Dataset) }

// SQL is the name quoted for SQL: "namespace"."name".
func (n Name) SQL() string { return QuoteIdent(n.Namespace) + "." + QuoteIdent(n.Dataset) }

// QuoteIdent quotes an identifier for SQL.
func QuoteIdent(s string) string { return `"` + strings.ReplaceAll(s, `"`, `""`) + `"` }

// QuoteString quotes a string literal for SQL.
func QuoteString(s string) string { return `'` + strings.ReplaceAll(s, `'`, `''`) + `'` }
