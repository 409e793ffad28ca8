package icebergrest

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"tarn/internal/httpapi"
	"tarn/internal/lake"
)

// levels parts the levels of a namespace in a path.
const levels = "\x1f"

// identifier is a table's name as Iceberg writes it.
type identifier struct {
	Namespace []string `json:"namespace"`
	Name      string   `json:"name"`
}

func (i identifier) lake() (lake.Name, error) {
	if len(i.Namespace) != 1 {
		return lake.Name{}, noNamespace(strings.Join(i.Namespace, "."))
	}
	return tableName(i.Namespace[0], i.Name)
}

func identifierOf(n lake.Name) identifier { return identifier{[]string{n.Namespace}, n.Dataset} }

func noNamespace(name string) error {
	return lake.Errorf(codeNoNamespace, "there is no namespace %q", name)
}

// tableName is a dataset's name of its parts, which hold no dot.
func tableName(namespace, table string) (lake.Name, error) {
	if strings.Contains(table, ".") {
		return lake.Name{}, lake.Errorf(lake.CodeInvalidRequest, "%q is no name of a table", table)
	}
	return lake.ParseName(namespace + "." + table)
}

// table is the dataset in the path. One that no dataset could have for its name does not
// exist, nor one in a nested namespace: Spark asks for main.t.snapshots so, and takes any
// other answer than that there is no such table for an error.
func table(c *httpapi.MountCall) (lake.Name, error) {
	ns, name := c.R.PathValue("ns"), c.R.PathValue("table")
	if strings.Contains(ns, levels) {
		return lake.Name{}, lake.Errorf(lake.CodeDatasetNotFound, "there is no table %s.%s", strings.ReplaceAll(ns, levels, "."), name)
	}
	n, err := tableName(ns, name)
	if err != nil {
		return n, lake.Errorf(lake.CodeDatasetNotFound, "there is no table %s.%s", ns, name)
	}
	c.Named(n)
	return n, nil
}

// namespaces lists those that have a dataset, and main, each as its first dataset writes
// it.
func namespaces(names []lake.Name) []string {
	out := []string{lake.DefaultNamespace}
	for _, n := range names {
		if !slices.ContainsFunc(out, func(have string) bool { return strings.EqualFold(have, n.Namespace) }) {
			out = append(out, n.Namespace)
		}
	}
	slices.Sort(out)
	return out
}

// namespace is the one in the path, as it is written.
func namespace(c *httpapi.MountCall) (string, error) {
	return find(c, c.R.PathValue("ns"))
}

func find(c *httpapi.MountCall, name string) (string, error) {
	names, err := c.Door.IcebergNames(c.R.Context(), nil)
	if err != nil {
		return "", err
	}
	for _, have := range namespaces(names) {
		if strings.EqualFold(have, name) {
			return have, nil
		}
	}
	return "", noNamespace(strings.ReplaceAll(name, levels, "."))
}

type namespacesAnswer struct {
	Namespaces [][]string `json:"namespaces"`
	Next       *string    `json:"next-page-token"`
}

func listNamespaces(c *httpapi.MountCall) error {
	names, err := c.Door.IcebergNames(c.R.Context(), nil)
	if err != nil {
		return err
	}
	out := namespacesAnswer{Namespaces: [][]string{}}
	all := namespaces(names)
	if parent := c.R.URL.Query().Get("parent"); parent != "" {
		if _, err := find(c, parent); err != nil {
			return err
		}
		all = nil // there are none within another
	}
	page, next, err := pageOf(c, all, func(s string) string { return s })
	if err != nil {
		return err
	}
	for _, one := range page {
		out.Namespaces = append(out.Namespaces, []string{one})
	}
	out.Next = next
	return reply(c.W, http.StatusOK, out)
}

// pageOf is the page of a sorted list that the request asks for: all of it where no
// pageSize is given. A token is the last name of the page before.
func pageOf[T any](c *httpapi.MountCall, all []T, name func(T) string) (page []T, next *string, err error) {
	q := c.R.URL.Query()
	if token := q.Get("pageToken"); token != "" {
		last, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil {
			return nil, nil, lake.Errorf(lake.CodeInvalidRequest, "the page token is none of this server's")
		}
		all = slices.DeleteFunc(all, func(one T) bool { return name(one) <= string(last) })
	}
	text := q.Get("pageSize")
	if text == "" {
		return all, nil, nil
	}
	size, err := strconv.Atoi(text)
	if err != nil || size < 1 {
		return nil, nil, lake.Errorf(lake.CodeInvalidRequest, "pageSize is a number from 1 on")
	}
	if size >= len(all) {
		return all, nil, nil
	}
	token := base64.RawURLEncoding.EncodeToString([]byte(name(all[size-1])))
	return all[:size], &token, nil
}

type namespaceAnswer struct {
	Namespace  []string          `json:"namespace"`
	Properties map[string]string `json:"properties"`
}

func loadNamespace(c *httpapi.MountCall) error {
	name, err := namespace(c)
	if err != nil {
		return err
	}
	return reply(c.W, http.StatusOK, namespaceAnswer{[]string{name}, map[string]string{}})
}

func headNamespace(c *httpapi.MountCall) error {
	if _, err := namespace(c); err != nil {
		return err
	}
	c.W.WriteHeader(http.StatusNoContent)
	return nil
}

// createNamespace refuses: a namespace without a dataset is nothing that the lake keeps.
func createNamespace(c *httpapi.MountCall) error {
	var body struct {
		Namespace []string `json:"namespace"`
	}
	if err := read(c, &body, maxSmallBytes); err != nil {
		return err
	}
	if name, err := find(c, strings.Join(body.Namespace, levels)); err == nil {
		return lake.Errorf(codeNamespaceExists, "the namespace %s is there already", name)
	}
	return lake.Errorf(lake.CodeUnsupported, "a namespace of tarn comes with its first table").
		WithHint("create the table: its namespace need not be there before")
}

func dropNamespace(c *httpapi.MountCall) error {
	name, err := namespace(c)
	if err != nil {
		return err
	}
	if name == lake.DefaultNamespace {
		return lake.Errorf(lake.CodeUnsupported, "the namespace %s is always there", name)
	}
	return lake.Errorf(codeNotEmpty, "the namespace %s has tables; it goes with the last one", name)
}

func changeNamespace(c *httpapi.MountCall) error {
	if _, err := namespace(c); err != nil {
		return err
	}
	return lake.Errorf(lake.CodeUnsupported, "a namespace of tarn has no properties")
}

type tablesAnswer struct {
	Identifiers []identifier `json:"identifiers"`
	Next        *string      `json:"next-page-token"`
}

func listTables(c *httpapi.MountCall) error {
	ns, err := namespace(c)
	if err != nil {
		return err
	}
	names, err := c.Door.IcebergNames(c.R.Context(), nil)
	if err != nil {
		return err
	}
	names = slices.DeleteFunc(names, func(n lake.Name) bool { return !strings.EqualFold(n.Namespace, ns) })
	page, next, err := pageOf(c, names, lake.Name.Key)
	if err != nil {
		return err
	}
	out := tablesAnswer{Identifiers: []identifier{}, Next: next}
	for _, n := range page {
		out.Identifiers = append(out.Identifiers, identifierOf(n))
	}
	return reply(c.W, http.StatusOK, out)
}

type viewsAnswer struct {
	Identifiers []identifier `json:"identifiers"`
	Next        *string      `json:"next-page-token"`
}

func listViews(c *httpapi.MountCall) error {
	if _, err := namespace(c); err != nil {
		return err
	}
	return reply(c.W, http.StatusOK, viewsAnswer{Identifiers: []identifier{}})
}

func noView(c *httpapi.MountCall) error {
	return lake.Errorf(codeNoView, "there is no view %s.%s: tarn has none", c.R.PathValue("ns"), c.R.PathValue("view"))
}

func createView(*httpapi.MountCall) error {
	return lake.Errorf(lake.CodeUnsupported, "tarn has no views")
}
