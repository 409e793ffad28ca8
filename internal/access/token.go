package access

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
)

// tokenPrefix lets people and scanners of leaked secrets tell what a token is.
const tokenPrefix = "tarn_"

// tokenBytes of randomness: 2^256 tokens cannot be tried.
const tokenBytes = 32

// Hash is the SHA-256 of a token's text, which is all that is kept of it.
type Hash [sha256.Size]byte

// HashOf gives the hash of a token.
func HashOf(token string) Hash { return sha256.Sum256([]byte(token)) }

// NewToken makes a token.
func NewToken() string {
	b := make([]byte, tokenBytes)
	_, _ = rand.Read(b) // never fails: the program ends where the system has no randomness
	return tokenPrefix + base64.RawURLEncoding.EncodeToString(b)
}
