// Package storetest has what tests of the durable wing stand on: the contract
// of store.Store as one suite that every implementation passes (Run), a store
// that fails and loses answers on demand (Faulty), and a disk in memory that can
// be cut off from power at every write (CutPower).
//
// Only tests import it.
package storetest
