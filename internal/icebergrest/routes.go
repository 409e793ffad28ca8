package icebergrest

import (
	"net/http"
	"strings"

	"tarn/internal/access"
	"tarn/internal/httpapi"
)

// prefix begins every path.
const prefix = "/iceberg/"

// route is a call with its name in Iceberg's OpenAPI; "" for those that a client is not
// told of.
type route struct {
	httpapi.MountRoute
	endpoint string
}

// Mount is the catalog.
func Mount() *httpapi.Mount {
	m := &httpapi.Mount{Prefix: prefix, Fail: fail}
	for _, rt := range routes() {
		m.Routes = append(m.Routes, rt.MountRoute)
	}
	return m
}

func routes() []route {
	const (
		ns     = "/namespaces/{ns}"
		tables = ns + "/tables"
		table  = tables + "/{table}"
		views  = ns + "/views"
	)
	read := func(method, path string, handle func(*httpapi.MountCall) error) route {
		return told(httpapi.MountRoute{Method: method, Path: path, Role: access.Read, Handle: handle})
	}
	write := func(method, path string, handle func(*httpapi.MountCall) error) route {
		return told(httpapi.MountRoute{Method: method, Path: path, Role: access.Write, Changes: true, Handle: handle})
	}
	untold := func(rt route) route { rt.endpoint = ""; return rt }
	return []route{
		untold(read(http.MethodGet, "/config", config)),
		untold(told(httpapi.MountRoute{Method: http.MethodPost, Path: "/oauth/tokens", Open: true, Handle: tokens})),
		read(http.MethodGet, "/namespaces", listNamespaces),
		read(http.MethodGet, ns, loadNamespace),
		read(http.MethodHead, ns, headNamespace),
		untold(write(http.MethodPost, "/namespaces", createNamespace)),
		untold(write(http.MethodDelete, ns, dropNamespace)),
		untold(write(http.MethodPost, ns+"/properties", changeNamespace)),
		read(http.MethodGet, tables, listTables),
		read(http.MethodGet, table, loadTable),
		read(http.MethodHead, table, headTable),
		read(http.MethodPost, table+"/metrics", reportMetrics),
		write(http.MethodPost, tables, createTable),
		write(http.MethodPost, table, commitTable),
		write(http.MethodDelete, table, dropTable),
		write(http.MethodPost, "/tables/rename", renameTable),
		write(http.MethodPost, "/transactions/commit", commitTransaction),
		write(http.MethodPost, ns+"/register", registerTable),
		untold(read(http.MethodGet, views, listViews)),
		untold(read(http.MethodGet, views+"/{view}", noView)),
		untold(read(http.MethodHead, views+"/{view}", noView)),
		untold(write(http.MethodPost, views, createView)),
		untold(write(http.MethodPost, views+"/{view}", noView)),
		untold(write(http.MethodDelete, views+"/{view}", noView)),
	}
}

// told is a route with the name by which clients are told of it: Iceberg's, which has a
// prefix that this catalog does not use.
func told(rt httpapi.MountRoute) route {
	name := rt.Method + " /v1/{prefix}" + strings.NewReplacer("{ns}", "{namespace}").Replace(rt.Path)
	rt.Path = prefix + "v1" + rt.Path
	return route{rt, name}
}

type configAnswer struct {
	Defaults  map[string]string `json:"defaults"`
	Overrides map[string]string `json:"overrides"`
	Endpoints []string          `json:"endpoints"`
}

// config tells a client what there is. There is one lake, whatever warehouse it names.
func config(c *httpapi.MountCall) error {
	out := configAnswer{Defaults: map[string]string{}, Overrides: map[string]string{}, Endpoints: []string{}}
	for _, rt := range routes() {
		if rt.endpoint != "" {
			out.Endpoints = append(out.Endpoints, rt.endpoint)
		}
	}
	return reply(c.W, http.StatusOK, out)
}
