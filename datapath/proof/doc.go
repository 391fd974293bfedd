// Package proof lets two ends of a DTLS connection show each other that they have an
// overlay secret in common, and gives nobody anything by which a secret could be
// guessed without asking them again for each guess.
//
// # What is proved, and who proves it first
//
// Of two ends that prove a secret to each other one must go first. With a hash or a
// tag under the secret, whoever goes first gives the other something to try all
// guesses against at home: no order of messages helps. So nothing that is sent here
// is made with the secret alone. The ends run CPace (draft-irtf-cfrg-cpace, with
// X25519 and SHA-512), a password-authenticated key exchange: each sends a random
// multiple of a point that the secret leads to. Such a multiple may come from any
// secret, so it tells nothing of the one that it came from. The tags that follow are
// made with the exchange's result. An end that does not have the secret cannot
// compute that result for any secret but the one that it guessed when it made its own
// multiple: one guess for each element that it sends, and for each connection.
//
//	lower                                       higher
//	  │ <────────────── elements ────────────────  │   one for each of its secrets
//	  │ ─────── elements, tags of all pairs ─────> │   the lower proves first
//	  │ <──── pair that it chose, tag; or no ────  │   only where a tag was right
//
// The lower end's tags are the first thing that depends on a secret. They are of use
// to the peer for the guesses that it has committed itself to with its elements, and
// for no others. The higher end sends a tag to a peer that has proved the secret and
// to nobody else, and no record is sent under keys that come from a secret before
// both have.
//
// The points come from this very connection too, from keying material of its DTLS
// session: a peer that has a connection to each of two engines cannot pass the proof of
// one on to the other.
//
// # What is left
//
// Whoever completes DTLS, so a member by the list of the XMPP server, can guess online:
// at most two secrets (the number of elements) for each connection, whether it is the
// lower or the higher end. Each such guess is seen: the proof is refused, or, where the
// peer is silent after it has got the tags, not finished. Whoever uses this package
// limits how often an account may do that. The secret is stretched before ([Stretch]),
// so that a guess costs the guesser time and memory too.
//
// A peer that has one of an end's two secrets can offer a guess of the other beside it. The
// proof is done with the secret that it has, so it gets one guess for each connection that no
// refusal shows. [Prover.Mixed] reports that, where the other is the end's first.
//
// A quantum computer that solves one discrete logarithm for each guess could test
// guesses against recorded elements. They are inside DTLS, so it would have to break
// that as well, or be the peer.
//
// The package does no I/O and knows no clock. A Prover belongs to one goroutine.
package proof
