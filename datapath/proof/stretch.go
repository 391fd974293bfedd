package proof

import "golang.org/x/crypto/argon2"

// Argon2id (RFC 9106): what one guess costs. The memory keeps a graphics card from
// making thousands of guesses at once.
const (
	stretchPasses = 3
	stretchMemory = 64 << 10 // KiB
	stretchLanes  = 1
	stretchLabel  = "evio overlay secret 1"

	// SecretSize is the size of a stretched secret, in bytes.
	SecretSize = 32
)

// Secret is an overlay secret after it was stretched.
type Secret [SecretSize]byte

// Stretch makes of what an operator wrote into a file the secret of an overlay. It is slow
// on purpose: it takes 50 ms of a CPU or more, and 64 MiB, for each secret, of whatever
// length. The overlay's name is its salt, so that nobody stretches guesses for all overlays
// at once.
func Stretch(overlay string, secret []byte) Secret {
	salt := append([]byte(stretchLabel), overlay...)
	return Secret(argon2.IDKey(secret, salt, stretchPasses, stretchMemory, stretchLanes, SecretSize))
}
