package lake

import "slices"

// PlaceColumn is the column that says which row of a dataset without a key is meant: its
// place, a BIGINT. It goes between worker, server and jobs, and is in no durable file.
const PlaceColumn = ReservedColumnPrefix + "place"

// PlaceBits is the room of a row's number, from 0, in a place. Above it stands the number
// of its file: base files in their order, then the pending deltas with rows.
const PlaceBits = 40

// PlacedVersion names, as AT (VERSION => '…'), a dataset without a key as it is, with the
// places of its rows. Only statements that the server makes may.
const PlacedVersion = ReservedColumnPrefix + "places"

// Placed is the schema of a dataset without a key with the places of its rows, which are
// the key.
func (s Schema) Placed() Schema {
	s.Columns = append(slices.Clone(s.Columns), Column{Name: PlaceColumn, Type: Type{Kind: Bigint}, Nullable: true})
	s.Key = []string{PlaceColumn}
	return s
}
