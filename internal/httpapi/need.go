package httpapi

import (
	"tarn/internal/access"
)

// need is what a route takes of whoever calls it, where the server has tokens. Every
// route of the table says its own; one that does not is for nobody. The guard below
// holds the role against the dataset; the route holds it against all that the
// principal has, before anything of the request is read.
type need struct {
	open    bool // nobody is asked who he is
	metrics bool // admin, or a token for metrics
	role    access.Role
	of      string // what the role must hold for
	changes bool   // it changes something: it goes into the audit log
}

// What a role must hold for.
const (
	ofPath  = "the dataset in the path"
	ofBody  = "the dataset in the body"
	ofSQL   = "each dataset that the SQL names, and write on the one that it changes"
	ofLists = "what is shown: the rest is left out"
	ofJob   = "the job's dataset"
	ofOwn   = "some dataset; one's own queries, an admin's token all"
	ofLake  = "the whole lake"
	ofBoth  = "the dataset in the path and the name in the body"
	ofAll   = "the dataset in the body, or the whole lake without one"
)

func open() need                                { return need{open: true} }
func scrapes() need                             { return need{metrics: true, role: access.Admin, of: ofLake} }
func reads(of string) need                      { return need{role: access.Read, of: of} }
func writes(of string) need                     { return need{role: access.Write, of: of, changes: true} }
func administers() need                         { return need{role: access.Admin, of: ofLake, changes: true} }
func inspects() need                            { return need{role: access.Admin, of: ofLake} }
func changing(role access.Role, of string) need { return need{role: role, of: of, changes: true} }

// said says whether a route has a need at all.
func (n need) said() bool { return n.open || n.role != access.None }

// String is the need in words, for the document.
func (n need) String() string {
	switch {
	case n.open:
		return "no token"
	case n.metrics:
		return "the role admin, or a token for metrics"
	}
	return "the role " + n.role.String() + " on " + n.of
}

// met says whether a principal may call the route at all.
func (n need) met(who *access.Principal) bool {
	switch {
	case !n.said():
		return false
	case n.open:
		return true
	case n.metrics && who.Metrics:
		return true
	case n.of == ofLake:
		return who.Everywhere(n.role)
	}
	return who.Somewhere(n.role)
}
