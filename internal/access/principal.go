package access

import (
	"crypto/subtle"
	"time"

	"tarn/internal/lake"
)

// Grant is a role on the datasets that a pattern stands for.
type Grant struct {
	Pattern lake.NamePattern
	Role    Role // Read or Write
}

// Principal is somebody who may do something. It is not changed after it was made.
type Principal struct {
	ID      string
	Role    Role    // on the whole lake; None: Grants say where
	Grants  []Grant // of a Principal with Role None
	Metrics bool    // may read the metrics, which name every dataset
	Expires time.Time
	Limits  Limits
	Note    string

	hash  Hash
	meter *meter
}

// On is the role that he has on a dataset, None where there is no such dataset for
// him.
func (p *Principal) On(n lake.Name) Role {
	most := p.Role
	for _, g := range p.Grants {
		if g.Role > most && g.Pattern.Has(n) {
			most = g.Role
		}
	}
	return most
}

// Everywhere says whether he has a role on the whole lake.
func (p *Principal) Everywhere(r Role) bool { return p.Role >= r }

// Somewhere says whether there may be a dataset on which he has a role.
func (p *Principal) Somewhere(r Role) bool {
	if p.Role >= r {
		return true
	}
	for _, g := range p.Grants {
		if g.Role >= r {
			return true
		}
	}
	return false
}

// Visible are the datasets that there are for him; nil: all.
func (p *Principal) Visible() *lake.NameSet {
	if p.Everywhere(Read) {
		return nil
	}
	patterns := make([]lake.NamePattern, len(p.Grants))
	for i, g := range p.Grants {
		patterns[i] = g.Pattern
	}
	return lake.NewNameSet(patterns...)
}

// find gives the principal of a token. Every hash is compared, each in constant time,
// so that the time it takes tells nothing of which it was, or how near.
func find(all []*Principal, token string, now time.Time) *Principal {
	hash := HashOf(token)
	at := -1
	for i, p := range all {
		at = subtle.ConstantTimeSelect(subtle.ConstantTimeCompare(hash[:], p.hash[:]), i, at)
	}
	if at < 0 || !all[at].Expires.IsZero() && !now.Before(all[at].Expires) {
		return nil
	}
	return all[at]
}
