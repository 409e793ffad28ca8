// Package upkeep keeps a lake tidy and says whether it is whole.
//
//	trim     deltas that are folded and old enough go: the catalog says so first
//	retire   catalog versions that are old enough go
//	collect  what no retained catalog version reaches, nothing in flight needs
//	         and no reader holds, goes
//	verify   every durable byte, count and reference is read and checked
//
// The caller is engine: at open (collect alone, under the lake's lock, before
// anything runs), then at intervals. It never touches what the newest catalog
// version reaches.
package upkeep
