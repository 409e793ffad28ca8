package cache

import (
	"fmt"

	"github.com/dustin/go-humanize"
)

// plan says whether a load is done and what goes for it.
type plan struct {
	fits   bool
	evict  []string // table uuids of the victims, the least recently used first
	reason string   // why it is not done
	later  bool     // what is in its way goes by itself
}

// resident is an image that is held.
type resident struct {
	uuid   string
	bytes  int64
	pinned bool
	heat   float64
}

// room is what a plan is made from.
type room struct {
	budget, used, held int64
	passing            int64      // of used: goes by itself in a moment
	residents          []resident // the least recently used first; without the one to load
}

// pinnedBytes is what pinned images take.
func (r room) pinnedBytes() int64 {
	var n int64
	for _, x := range r.residents {
		if x.pinned {
			n += x.bytes
		}
	}
	return n
}

// reserve is what unpinned loads leave free: changes in place need room, and an
// image that has none for its next change goes.
func (r room) reserve() int64 { return r.budget / 32 }

// planPin plans the load of a pinned dataset: everything that is not pinned may
// go.
func planPin(need int64, r room) plan {
	if r.budget <= 0 {
		return plan{reason: noBudget}
	}
	if beside := r.budget - r.pinnedBytes(); need > beside+r.passing {
		return plan{reason: doesNotFit(need, beside, "the budget", r.pinnedBytes())}
	}
	evict, _, short := victims(need, r.budget, r)
	if short > 0 && short > r.held+r.passing {
		return plan{reason: doesNotFit(need, need-short, "the budget", r.pinnedBytes())}
	}
	// What older readers hold, or a CHECKPOINT is about to compress, frees itself: the
	// load waits for it.
	return plan{fits: true, evict: evict}
}

// planUse plans the load of a dataset that was used. Free room is taken at the
// first use. Where others must go, the dataset must be in more use than all of
// its victims together: then the exchange gives more hits than it costs, and one
// scan of a large dataset pushes nothing out.
func planUse(need int64, heat float64, r room) plan {
	if r.budget <= 0 {
		return plan{reason: noBudget}
	}
	limit := r.budget - r.reserve()
	if beside := limit - r.pinnedBytes(); need > beside {
		return plan{reason: doesNotFit(need, beside, "what the budget leaves for datasets that are not pinned", r.pinnedBytes())}
	}
	evict, cost, short := victims(need, limit, r)
	switch {
	case short > 0:
		return plan{reason: fmt.Sprintf("older queries still hold %s of images that were dropped", bytesShown(r.held)), later: true}
	case len(evict) > 0 && heat <= cost:
		return plan{reason: fmt.Sprintf("the datasets that would go for it are in more use (%.1f against %.1f)", cost, heat)}
	}
	return plan{fits: true, evict: evict}
}

// planFor plans as for a pinned dataset or as for one that was used.
func planFor(need int64, heat float64, pin bool, r room) plan {
	if pin {
		return planPin(need, r)
	}
	return planUse(need, heat, r)
}

// victims picks images that are not pinned, the least recently used first, until
// need fits under limit. cost is the heat of the victims; short is what is still
// missing.
func victims(need, limit int64, r room) (evict []string, cost float64, short int64) {
	free := limit - r.used
	for _, x := range r.residents {
		if free >= need {
			break
		}
		if x.pinned {
			continue
		}
		evict = append(evict, x.uuid)
		free += x.bytes
		cost += x.heat
	}
	return evict, cost, max(0, need-free)
}

const noBudget = "the cache has no budget"

func doesNotFit(need, free int64, of string, pinned int64) string {
	text := fmt.Sprintf("needs about %s; %s are free of %s", bytesShown(need), bytesShown(free), of)
	if pinned > 0 {
		text += fmt.Sprintf(" beside %s that are pinned", bytesShown(pinned))
	}
	return text
}

func bytesShown(n int64) string { return humanize.Bytes(uint64(max(0, n))) }
