package proof

import (
	"bytes"
	"crypto/hkdf"
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"slices"
)

// State is how far a proof is.
type State uint8

// States of a proof. Proved and Refused are final.
const (
	Waiting State = iota // for the peer's elements, or for its proof
	Shown                // the lower end alone: the peer has got tags and has proved nothing yet
	Proved               // both ends have a secret in common
	Refused              // they have none, as far as the peer has shown
)

// Labels of what is derived here.
const (
	labelSession = "evio1 secret session"
	labelLower   = "evio1 secret lower"
	labelHigher  = "evio1 secret higher"
	labelSalt    = "evio1 secret salt"
)

// Prover is one end of a proof, as a pure machine: Say is what the peer has to be told
// now, again and again until it changes, and Hear takes what the peer says.
//
//	lower:  Waiting ── elements ──> Shown ── a right tag of a pair ──> Proved
//	                                  └───── no pair, a wrong tag ───> Refused
//	higher: Waiting ── elements and tags, one of them right ──> Proved
//	           └───────────────────────────── none right ─────> Refused
//
// Only the first message of each kind counts. A peer that wants to try another guess
// needs another connection.
type Prover struct {
	lower   bool
	sid, ci []byte
	shares  []share

	state State
	heard []byte // the message that made the last step
	say   []byte
	salt  []byte
	used  int
	mixed bool
	pairs []pair // the lower end: of all elements
}

// pair is what one own element and one of the peer make.
type pair struct {
	lower, higher int // places of the elements
	key           []byte
}

// New begins a proof over a connection; exporter is its keying material, which no other
// has and both ends do, and binding what they agreed on before. There are one or two
// secrets, the one that is to be used first.
func New(lower bool, secrets []Secret, exporter []byte, binding [32]byte) (*Prover, error) {
	if len(secrets) == 0 || len(secrets) > MaxSecrets {
		return nil, fmt.Errorf("prove a secret: %d are given, it takes 1 to %d", len(secrets), MaxSecrets)
	}
	sid, err := hkdf.Key(sha256.New, exporter, binding[:], labelSession, sha256.Size)
	if err != nil {
		return nil, fmt.Errorf("prove a secret: %w", err)
	}
	p := &Prover{lower: lower, sid: sid, ci: binding[:]}
	for _, s := range secrets {
		share, err := newShare(s[:], p.ci, p.sid)
		if err != nil {
			return nil, fmt.Errorf("prove a secret: %w", err)
		}
		p.shares = append(p.shares, share)
	}
	if !lower {
		p.say = appendElements([]byte{opElements}, p.shares)
	}
	return p, nil
}

// State returns how far the proof is.
func (p *Prover) State() State { return p.state }

// Say returns what the peer has to be told until Hear changes it, nil for nothing. The
// higher end says what follows a proof once for each that it hears, not again and again.
func (p *Prover) Say() []byte { return p.say }

// Salt returns what both ends mix into their keys, nil before they have proved a secret.
func (p *Prover) Salt() []byte { return p.salt }

// Used returns the place of the secret that was proved.
func (p *Prover) Used() int { return p.used }

// Hear takes a message of the peer and returns what is answered to it at once, nil for
// nothing. A message that is malformed or comes at the wrong time is an error that
// changes nothing.
func (p *Prover) Hear(m []byte) (answer []byte, err error) {
	switch {
	case p.lower && p.state == Waiting:
		return nil, p.show(m)
	case p.lower && p.state == Shown:
		return nil, p.conclude(m)
	case !p.lower && p.state == Waiting:
		return p.judge(m)
	case !p.lower && bytes.Equal(m, p.heard):
		return p.say, nil // what was answered is lost
	}
	return nil, errMessage
}

// show is the lower end's proof, when the elements of the higher have come.
func (p *Prover) show(m []byte) error {
	elements, err := parseElements(m)
	if err != nil {
		return err
	}
	p.pairs, err = p.meet(elements)
	if err != nil {
		return err
	}
	say := appendElements([]byte{opProof, byte(len(p.shares))}, p.shares)
	for _, pair := range p.pairs {
		say = append(say, pair.tag(labelLower)...)
	}
	p.say, p.heard, p.state = say, slices.Clone(m), Shown
	return nil
}

// judge is the higher end's look at the proof of the lower.
func (p *Prover) judge(m []byte) ([]byte, error) {
	elements, tags, err := parseProof(m, len(p.shares))
	if err != nil {
		return nil, err
	}
	pairs, err := p.meet(elements)
	if err != nil {
		return nil, err
	}
	p.heard, p.say, p.state = slices.Clone(m), []byte{opRefused}, Refused
	for i, pair := range pairs {
		if hmac.Equal(tags[i], pair.tag(labelLower)) {
			p.say = append([]byte{opChosen, byte(pair.lower), byte(pair.higher)}, pair.tag(labelHigher)...)
			p.prove(pair, len(pairs))
			break
		}
	}
	return p.say, nil
}

// conclude is the lower end's look at the answer of the higher.
func (p *Prover) conclude(m []byte) error {
	if bytes.Equal(m, p.heard) {
		return nil // its elements again: it has not got the proof yet
	}
	if len(m) == 1 && m[0] == opRefused {
		p.state, p.say = Refused, nil
		return nil
	}
	lower, higher, tag, err := parseChosen(m)
	if err != nil {
		return err
	}
	p.state, p.say = Refused, nil
	for _, pair := range p.pairs {
		if pair.lower == lower && pair.higher == higher && hmac.Equal(tag, pair.tag(labelHigher)) {
			p.prove(pair, len(p.pairs))
		}
	}
	return nil
}

func (p *Prover) prove(with pair, of int) {
	p.mixed = of == MaxSecrets*MaxSecrets && with.lower+with.higher > 0
	p.state, p.salt, p.used = Proved, with.derive(labelSalt), with.higher
	if p.lower {
		p.used, p.say = with.lower, nil
	}
}

// Mixed tells whether both ends have offered two secrets, and the pair that serves is not
// the first of both. So it is where their first secrets differ, and where the peer has one of
// this end's two secrets and has tested a guess of the other.
func (p *Prover) Mixed() bool { return p.mixed }

// meet makes the pairs of own elements with those of the peer, in the order of the lower
// end's and then of the higher's.
func (p *Prover) meet(elements []byte) ([]pair, error) {
	own := appendElements(nil, p.shares)
	var pairs []pair
	for i, s := range p.shares {
		for j, other := range slices.Collect(slices.Chunk(elements, elementSize)) {
			k, err := multiply(s.scalar, other)
			if err != nil {
				return nil, errMessage // of low order: nobody makes it by mistake
			}
			if p.lower {
				pairs = append(pairs, pair{i, j, isk(p.sid, k, s.element, own, other, elements)})
			} else {
				pairs = append(pairs, pair{j, i, isk(p.sid, k, other, elements, s.element, own)})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b pair) int { return (a.lower*MaxSecrets + a.higher) - (b.lower*MaxSecrets + b.higher) })
	return pairs, nil
}

func (p pair) tag(label string) []byte { return p.derive(label)[:tagSize] }

func (p pair) derive(label string) []byte {
	mac := hmac.New(sha256.New, p.key) // a key of 64 bytes, one output: what HKDF-Expand would do
	mac.Write([]byte(label))
	return mac.Sum(nil)
}
