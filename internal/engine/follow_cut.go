package engine

import "tarn/internal/lake"

// cut says which of the deltas that were found belong to an instant: by the epoch of
// their writer, up to which position. Positions are one counter as long as one server
// writes. A server that takes a bucket over counts on from what it has read, while the
// former one still writes; so each epoch has its own bound. Once the newer one has
// written more than the empty deltas that seal the logs, all of them were sealed, and
// what the older ones wrote was durable before.
//
// A cut only grows: what was within it stays.
type cut map[int64]upTo

type upTo struct {
	position int64
	content  bool // a delta of the epoch is not empty
}

// add takes in a delta that was found.
func (c cut) add(d lake.Delta) {
	u := c[d.Epoch]
	c[d.Epoch] = upTo{max(u.position, d.LakePosition), u.content || !d.Empty()}
}

// holds says whether a delta belongs to the instant.
func (c cut) holds(d lake.Delta) bool {
	if d.LakePosition <= c[d.Epoch].position {
		return true
	}
	for epoch, u := range c {
		if epoch > d.Epoch && u.content {
			return true
		}
	}
	return false
}

// visible is the part of a dataset's deltas that belongs to the instant. An empty delta
// at the end that is no seal takes the sequence of a content commit; it is shown with
// the commit, which tells of it (base.Table.Through), or once a later delta says that
// there will be none. Deltas of a transaction of which some are not there yet, by their
// keys in open, are shown with those.
func visible(found []lake.Delta, c cut, through int64, open map[string]bool) []lake.Delta {
	n := 0
	for n < len(found) && c.holds(found[n]) && !open[found[n].Key] {
		n++
	}
	for n > 0 && found[n-1].Empty() && found[n-1].Seal == nil && found[n-1].Sequence > through {
		n--
	}
	return found[:n:n]
}
