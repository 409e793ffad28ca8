package lake

import (
	"encoding/json"
	"slices"
	"strings"
)

// NamePattern stands for datasets: `[namespace.]name`, where each part may end in
// `*`, which stands for any rest. As in a Name, the namespace is main unless said,
// and case does not distinguish. A `*` alone is no pattern: it is not clear whether it
// means `main.*` or `*.*`.
type NamePattern struct{ namespace, dataset string } // in lower case

// ParseNamePattern reads a pattern. It fails with CodeInvalidRequest.
func ParseNamePattern(s string) (NamePattern, error) {
	if s == "*" {
		return NamePattern{}, Errorf(CodeInvalidRequest, "the pattern * is not clear").
			WithHint("main.* is every dataset of the namespace main, *.* every dataset")
	}
	p := NamePattern{namespace: DefaultNamespace, dataset: s}
	if namespace, dataset, ok := strings.Cut(s, "."); ok {
		p = NamePattern{namespace: namespace, dataset: dataset}
	}
	for _, part := range []string{p.namespace, p.dataset} {
		head, open := strings.CutSuffix(part, "*")
		if open && head == "" {
			continue
		}
		if !namePart.MatchString(head) {
			return NamePattern{}, Errorf(CodeInvalidRequest, "%q is not a pattern of dataset names", s).
				WithHint("such as main.orders, sales.* or sales.orders_*")
		}
	}
	return NamePattern{strings.ToLower(p.namespace), strings.ToLower(p.dataset)}, nil
}

// String is the pattern with its namespace.
func (p NamePattern) String() string { return p.namespace + "." + p.dataset }

// Has says whether the pattern stands for a name.
func (p NamePattern) Has(n Name) bool {
	return partHas(p.namespace, n.Namespace) && partHas(p.dataset, n.Dataset)
}

func partHas(pattern, part string) bool {
	part = strings.ToLower(part)
	if head, open := strings.CutSuffix(pattern, "*"); open {
		return strings.HasPrefix(part, head)
	}
	return part == pattern
}

// NameSet is the datasets that some patterns stand for. A nil *NameSet is all
// datasets, the zero value none. It is not changed after it was made, and travels as
// JSON: a list of patterns.
type NameSet struct{ patterns []NamePattern }

// NewNameSet is the set of these patterns.
func NewNameSet(patterns ...NamePattern) *NameSet { return &NameSet{slices.Clone(patterns)} }

// Has says whether a name is in the set.
func (s *NameSet) Has(n Name) bool {
	if s == nil {
		return true
	}
	return slices.ContainsFunc(s.patterns, func(p NamePattern) bool { return p.Has(n) })
}

// HasAll says whether every name is in the set.
func (s *NameSet) HasAll(names []Name) bool {
	return s == nil || !slices.ContainsFunc(names, func(n Name) bool { return !s.Has(n) })
}

// SQL is the set as a condition over two expressions that give namespace and name.
func (s *NameSet) SQL(namespace, dataset string) string {
	if s == nil {
		return "true"
	}
	any := []string{"false"}
	for _, p := range s.patterns {
		any = append(any, partSQL(p.namespace, namespace)+" AND "+partSQL(p.dataset, dataset))
	}
	return "(" + strings.Join(any, " OR ") + ")"
}

func partSQL(pattern, expression string) string {
	if head, open := strings.CutSuffix(pattern, "*"); open {
		return "starts_with(lower(" + expression + "), " + QuoteString(head) + ")"
	}
	return "lower(" + expression + ") = " + QuoteString(pattern)
}

// MarshalJSON writes the patterns.
func (s NameSet) MarshalJSON() ([]byte, error) {
	out := make([]string, len(s.patterns))
	for i, p := range s.patterns {
		out[i] = p.String()
	}
	return json.Marshal(out)
}

// UnmarshalJSON reads them.
func (s *NameSet) UnmarshalJSON(b []byte) error {
	var in []string
	if err := json.Unmarshal(b, &in); err != nil {
		return err
	}
	patterns := make([]NamePattern, len(in))
	for i, text := range in {
		p, err := ParseNamePattern(text)
		if err != nil {
			return err
		}
		patterns[i] = p
	}
	s.patterns = patterns
	return nil
}
