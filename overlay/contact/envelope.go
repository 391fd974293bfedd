package contact

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"evio/overlay/nodeid"
	"evio/wall"
)

const (
	// Version is the layout of envelopes that this package reads and writes.
	Version = 1
	// MaxSize bounds an envelope on the wire, in bytes.
	MaxSize = 8 << 10
	// MaxParameters bounds the session parameters inside it, in bytes.
	MaxParameters = 6 << 10
	// Lifetime is how long an envelope is valid after it was signed.
	Lifetime = 60 * time.Second
	// Skew is by how much the clocks of two engines may differ: an envelope is
	// refused when it expired, or will expire, longer than this beyond Lifetime.
	Skew = 5 * time.Minute
)

// Offsets of the fixed fields on the wire; the parameters and the signature follow.
const (
	offTo         = 1
	offFrom       = offTo + nodeid.Size
	offAttempt    = offFrom + nodeid.Size
	offExpiry     = offAttempt + 8
	offKey        = offExpiry + 8
	offLength     = offKey + ed25519.PublicKeySize
	offParameters = offLength + 2
	minSize       = offParameters + ed25519.SignatureSize
)

// Labels that separate what is signed and hashed here from every other use of the
// same key and of SHA-256.
const (
	signLabel    = "evio first contact 1"
	bindingLabel = "evio session binding 1"
)

// Reasons for which Open refuses an envelope; see also VersionError.
var (
	ErrMalformed = errors.New("malformed envelope")
	ErrReceiver  = errors.New("envelope for another node")
	ErrSender    = errors.New("envelope whose key is not that of the node it names as sender")
	ErrSelf      = errors.New("envelope signed by our own identity: another engine uses a copy of it")
	ErrSignature = errors.New("envelope with a wrong signature, or of another overlay")
	ErrTime      = errors.New("envelope outside its time: compare the clocks of the two engines")
)

// VersionError says that the peer speaks no version known here.
type VersionError struct{ Peer uint8 }

func (e *VersionError) Error() string {
	return fmt.Sprintf("peer makes contact in version %d and this engine knows only version %d: update the older of the two",
		e.Peer, Version)
}

// TimeError says of an envelope whose signature is right that it was signed at another
// time than ours: ours as the sender's clock showed it, if nobody held it back. It is an
// ErrTime.
type TimeError struct{ Ahead time.Duration }

func (e *TimeError) Error() string {
	how := "ahead of"
	if e.Ahead < 0 {
		how = "behind"
	}
	return fmt.Sprintf("envelope signed %v %s our time: compare the clocks of the two engines", e.Ahead.Abs().Round(time.Second), how)
}

// Unwrap returns ErrTime.
func (e *TimeError) Unwrap() error { return ErrTime }

// Envelope is one end's half of a first contact.
type Envelope struct {
	To, From nodeid.ID
	// Attempt numbers the sender's tries to get a session with To, rising.
	Attempt uint64
	// Expiry has millisecond precision on the wire.
	Expiry time.Time
	// Key is the sender's identity; From is derived from it.
	Key ed25519.PublicKey
	// Parameters are the session's, opaque here.
	Parameters []byte
}

// Sign encodes e and signs it with priv, which gives Key and, with the overlay's
// name, From: what e holds in these two is ignored. The overlay's name is signed
// and not sent: the node IDs name it to those who know it.
func Sign(priv ed25519.PrivateKey, overlay string, e Envelope) ([]byte, error) {
	if len(e.Parameters) > MaxParameters {
		return nil, fmt.Errorf("sign envelope: parameters of %d bytes, at most %d fit", len(e.Parameters), MaxParameters)
	}
	return seal(priv, overlay, e), nil
}

// seal is Sign for parameters whose size was checked.
func seal(priv ed25519.PrivateKey, overlay string, e Envelope) []byte {
	e.Key = publicKey(priv)
	e.From = nodeid.FromKey(e.Key, overlay)

	b := make([]byte, 0, minSize+len(e.Parameters))
	b = append(b, Version)
	b = append(b, e.To[:]...)
	b = append(b, e.From[:]...)
	b = binary.BigEndian.AppendUint64(b, e.Attempt)
	b = binary.BigEndian.AppendUint64(b, wall.Milliseconds(e.Expiry))
	b = append(b, e.Key...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Parameters)))
	b = append(b, e.Parameters...)
	return append(b, ed25519.Sign(priv, signed(Body(e, overlay), wall.Milliseconds(e.Expiry)))...)
}

// Open decodes and verifies an envelope that arrived at self at wall time now. It
// returns the envelope and its Body; neither refers to b. The error is one of the
// sentinels above, a *VersionError, a *TimeError, or that of admit; with ErrTime the
// envelope is returned as well, which its sender has signed.
//
// All that is cheap comes before the signature, which takes a hundred times as long:
// admit, if there is one, is asked in between about an envelope from an unknown sender
// whether it is genuine. It must not change anything.
func Open(b []byte, overlay string, self nodeid.ID, now time.Time, admit func(Envelope) error) (Envelope, []byte, error) {
	e, expiry, err := parse(b)
	if err != nil {
		return Envelope{}, nil, err
	}
	switch {
	case e.To != self:
		return Envelope{}, nil, ErrReceiver
	case nodeid.FromKey(e.Key, overlay) != e.From:
		return Envelope{}, nil, ErrSender
	case e.From == self:
		return Envelope{}, nil, ErrSelf
	}
	if admit != nil {
		if err := admit(e); err != nil {
			return Envelope{}, nil, err
		}
	}
	body := Body(e, overlay)
	if !ed25519.Verify(e.Key, signed(body, expiry), b[len(b)-ed25519.SignatureSize:]) {
		return Envelope{}, nil, ErrSignature
	}
	switch at := wall.Milliseconds(now); {
	case !timely(expiry, at):
		return e, nil, &TimeError{Ahead: time.Duration(int64(expiry-at))*time.Millisecond - Lifetime}
	case e.Attempt == 0 || e.Attempt > at+ahead:
		return e, nil, ErrTime
	}
	return e, body, nil
}

// To returns the receiver of an envelope, unverified, to find the overlay it is for.
func To(b []byte) (nodeid.ID, error) {
	if err := check(b); err != nil {
		return nodeid.ID{}, err
	}
	return nodeid.ID(b[offTo:offFrom]), nil
}

// Body is the part of an envelope that does not change when it is signed again:
// all but the expiry, and the overlay's name.
func Body(e Envelope, overlay string) []byte {
	b := make([]byte, 0, minSize+len(overlay)+len(e.Parameters))
	b = append(b, Version)
	b = append(b, e.To[:]...)
	b = append(b, e.From[:]...)
	b = appendField(b, []byte(overlay))
	b = binary.BigEndian.AppendUint64(b, e.Attempt)
	b = appendField(b, e.Key)
	return appendField(b, e.Parameters)
}

// Binding is the hash to which both ends bind the keys of their session: it
// covers both bodies in the order of their senders' node IDs, so both ends get the
// same value and neither's parameters can be exchanged for others.
func Binding(bodyA, bodyB []byte, idA, idB nodeid.ID) [sha256.Size]byte {
	if nodeid.Compare(idA, idB) > 0 {
		bodyA, bodyB = bodyB, bodyA
	}
	b := make([]byte, 0, len(bindingLabel)+8+len(bodyA)+len(bodyB))
	b = append(b, bindingLabel...)
	b = appendField(b, bodyA)
	b = appendField(b, bodyB)
	return sha256.Sum256(b)
}

// check tests what can be told before any field is read: size, then version.
func check(b []byte) error {
	switch {
	case len(b) == 0 || len(b) > MaxSize:
		return fmt.Errorf("%w: %d bytes", ErrMalformed, len(b))
	case b[0] != Version:
		return &VersionError{Peer: b[0]}
	case len(b) < minSize:
		return fmt.Errorf("%w: %d bytes, at least %d", ErrMalformed, len(b), minSize)
	}
	return nil
}

// parse reads the fields and returns the expiry, in milliseconds, beside them:
// whether it is a time at all is checked later.
func parse(b []byte) (e Envelope, expiry uint64, err error) {
	if err := check(b); err != nil {
		return Envelope{}, 0, err
	}
	n := int(binary.BigEndian.Uint16(b[offLength:]))
	if n > MaxParameters || len(b) != minSize+n {
		return Envelope{}, 0, fmt.Errorf("%w: %d bytes with parameters of %d", ErrMalformed, len(b), n)
	}
	expiry = binary.BigEndian.Uint64(b[offExpiry:])
	return Envelope{
		To:         nodeid.ID(b[offTo:offFrom]),
		From:       nodeid.ID(b[offFrom:offAttempt]),
		Attempt:    binary.BigEndian.Uint64(b[offAttempt:]),
		Expiry:     wall.FromMilliseconds(expiry),
		Key:        append(ed25519.PublicKey(nil), b[offKey:offLength]...),
		Parameters: append([]byte(nil), b[offParameters:offParameters+n]...),
	}, expiry, nil
}

// ahead is how far expiry and attempt may lie in the future, in milliseconds. An attempt
// number is the time at which the attempt began, so one from the future would outrank all
// that its sender can make later.
const ahead = uint64((Lifetime + Skew) / time.Millisecond)

// timely reports whether an envelope that arrives at now is neither too old nor from the
// future.
func timely(expiry, now uint64) bool {
	return expiry <= now+ahead && expiry+uint64(Skew.Milliseconds()) >= now
}

func signed(body []byte, expiry uint64) []byte {
	b := make([]byte, 0, len(signLabel)+8+len(body))
	b = append(b, signLabel...)
	b = binary.BigEndian.AppendUint64(b, expiry)
	return append(b, body...)
}

func appendField(b, field []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(len(field)))
	return append(b, field...)
}

func publicKey(priv ed25519.PrivateKey) ed25519.PublicKey {
	return ed25519.PublicKey(priv[ed25519.PrivateKeySize-ed25519.PublicKeySize:])
}
