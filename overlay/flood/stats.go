package flood

// Cause says why a frame was dropped.
type Cause uint8

// The causes.
const (
	NoDrop         Cause = iota
	OwnLimit             // this node floods more than its budget
	ContainerLimit       // one of its containers floods more than its share, and others need the rest
	IngressLimit         // the neighbour brings more than its budget, in all or of what came before
	OriginLimit          // the origin floods more than its budget
	OwnFrame             // a frame of this node came back
	BadArc               // an arc that no relay can have cut: it reaches past the origin or the sender
	Untimely             // sent more than Skew ago, or from the future
	Duplicate            // delivered before, and an arc as long was handed on before
	Forged               // not signed by the origin that it names
	causes
)

func (c Cause) String() string {
	switch c {
	case NoDrop:
		return "none"
	case OwnLimit:
		return "own-limit"
	case ContainerLimit:
		return "container-limit"
	case IngressLimit:
		return "ingress-limit"
	case OriginLimit:
		return "origin-limit"
	case OwnFrame:
		return "own-frame"
	case BadArc:
		return "bad-arc"
	case Untimely:
		return "time"
	case Duplicate:
		return "duplicate"
	case Forged:
		return "forged"
	case causes:
	}
	return "unknown"
}

// Stats are counters since the start.
type Stats struct {
	Originated uint64 // frames of this node
	Received   uint64 // copies that came
	Delivered  uint64 // frames for the local ports
	Copies     uint64 // copies sent, of own frames and others'
	Drops      [causes]uint64
}

// ByCause returns the drop counters that are not zero.
func (s Stats) ByCause() map[string]uint64 {
	m := map[string]uint64{}
	for c, n := range s.Drops {
		if n != 0 {
			m[Cause(c).String()] = n
		}
	}
	return m
}
