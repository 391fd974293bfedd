package session

// State is where a session stands in its life.
type State uint8

// States of a session.
const (
	Gathering State = iota
	Ready
	Connecting
	Established
	Closed
	states // number of states
)

var stateNames = [states]string{"gathering", "ready", "connecting", "established", "closed"}

// String returns the name of the state in the status document.
func (s State) String() string {
	if s < states {
		return stateNames[s]
	}
	return "unknown"
}

// MarshalText implements encoding.TextMarshaler.
func (s State) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
