package claims

import (
	"net/netip"

	"evio/overlay/nodeid"
)

// Effect is what a Machine asks for.
type Effect interface{ effect() }

// Take asks the directory for a claim. The answer goes to Machine.Taken.
type Take struct {
	Container string
	Claim     Claim
}

// Withdraw gives a claim back to the directory.
type Withdraw struct{ Claim Claim }

// Changed says that Granted gives something new for a container. When the bridge is as
// it says, Machine.Installed is called with Gen.
type Changed struct {
	Container string
	Gen       uint64
}

// Deliver sends a frame on its way as if the container had just sent it.
type Deliver struct {
	Container string
	Frame     []byte
}

// Announce announces a claim whose own announcement waited for too long. Its container
// must not hear that: it may still ask whether another has the address.
type Announce struct {
	Container string
	Claim     Claim
}

// Probe asks a container for an address that it has claimed. An answer goes to
// Machine.Answered.
type Probe struct {
	Container string
	Claim     Claim
}

// Look asks how much a container has used its claims lately. The answer goes to
// Machine.Looked.
type Look struct{ Container string }

// GiveWay asks the node that holds a key to give it up, if its container does not answer
// for it.
type GiveWay struct {
	Node  nodeid.ID
	Key   Key
	Asker Party
}

// Kept answers a node that asked: the key stays here.
type Kept struct {
	Node   nodeid.ID
	Key    Key
	Holder Party
}

// Count counts a frame that was not delivered.
type Count struct{ Cause Cause }

// Refused reports that a container does not get what it announces, at most once a minute
// for each key.
type Refused struct {
	Container string
	Claim     Claim
	Cause     Cause
	Holder    Holder
}

// Party is a container as other engines know it.
type Party struct {
	MAC  MAC
	Addr netip.Addr // that Docker has given to it; not valid: none
}

func (Take) effect()     {}
func (Withdraw) effect() {}
func (Changed) effect()  {}
func (Deliver) effect()  {}
func (Announce) effect() {}
func (Probe) effect()    {}
func (Look) effect()     {}
func (GiveWay) effect()  {}
func (Kept) effect()     {}
func (Count) effect()    {}
func (Refused) effect()  {}

// Cause says why a frame was not delivered.
type Cause uint8

// Causes.
const (
	Outside Cause = iota + 1 // a container may not claim that, or nobody may
	Held                     // another one has it
	Limit                    // more than a container, or this engine, may claim
	Delayed                  // its claim was not made in time
)
