package lake

import "strings"

// ownedBy parts the owner of an Idempotency-Key from the key. Clients' keys are
// printable ASCII, so that no key of one owner, or of none, is one of another.
const ownedBy = "\x1f"

// OwnedKey is an Idempotency-Key of somebody, as it is remembered.
func OwnedKey(owner, key string) string { return owner + ownedBy + key }

// ClientKey is a remembered Idempotency-Key as its client sent it.
func ClientKey(remembered string) string {
	_, key, owned := strings.Cut(remembered, ownedBy)
	if !owned {
		return remembered
	}
	return key
}
