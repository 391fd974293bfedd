package contact

// State says how far the contact with a peer has come.
type State uint8

// States of a Contact, by the attempt under way or, without one, in service.
const (
	Idle       State = iota // no attempt; a pause after a failure, or nobody to reach
	Gathering               // a session object prepares its parameters
	Waiting                 // parameters are being sent; the peer's are not here
	Connecting              // both ends' parameters are here
	Serving                 // a session is established
	Replacing               // a session is established, a newer one is under way
	Stopped
)

func (s State) String() string {
	switch s {
	case Idle:
		return "idle"
	case Gathering:
		return "gathering"
	case Waiting:
		return "waiting"
	case Connecting:
		return "connecting"
	case Serving:
		return "serving"
	case Replacing:
		return "replacing"
	case Stopped:
		return "stopped"
	}
	return "unknown"
}

// Status describes a Contact for people.
type Status struct {
	State    State
	Online   bool
	Serving  uint64 // our attempt in service as it was announced, 0 for none
	Remote   uint64 // the peer's attempt it is established with
	Failures int    // attempts in a row without a lasting session
	Err      error  // of the last session that ended by itself
}

// Status returns the present state.
func (c *Contact) Status() Status {
	s := Status{State: c.state(), Online: c.online, Failures: c.failures, Err: c.err}
	if c.serving != nil {
		s.Serving, s.Remote = c.serving.own.number, c.serving.used.remote
	}
	return s
}

func (c *Contact) state() State {
	switch {
	case c.stopped:
		return Stopped
	case c.serving != nil && c.next != nil:
		return Replacing
	case c.serving != nil:
		return Serving
	case c.next == nil:
		return Idle
	case c.next.own.body == nil:
		return Gathering
	case c.next.used.remote == 0:
		return Waiting
	}
	return Connecting
}
