// Package access says who somebody is and what he may do: bearer tokens in a file
// that reloads, roles, grants on datasets, limits.
//
// Words. A *token* is 256 random bits as text; who has it is its *principal*. The file
// knows tokens by their SHA-256 alone. A *role* is read, write or admin, each with all
// of the ones before. A principal has a role on the whole lake, or *grants*: roles on
// the datasets that patterns of names stand for. A dataset on which he has none does
// not exist for him. Grants go by names, so a dataset that gets another name comes
// under the grants of that name.
//
// Tokens are random, not chosen by people, so that a plain hash of them cannot be
// turned round by guessing, and a slow one would only make every request slow. All
// hashes of the file are compared with that of the token that was sent, each in
// constant time and all of them always.
//
// Callers: httpapi asks who sent a request and admits it; guard asks what he may do;
// the command line writes the file. The package knows no HTTP, and never sees a
// dataset: only names.
package access
