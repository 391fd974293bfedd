package overlay

import (
	"net"
	"time"

	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

// keyPause is how long the log is spared more about one key.
const keyPause = time.Minute

// keyLog decides when the log reports that another node has a key that this engine wants: once
// in keyPause for each key, and at the end of that time again if it has changed since.
type keyLog map[directory.Key]*keyNews

type keyNews struct {
	until   time.Time // nothing more is said before
	said    bool      // that it is lost
	lost    bool      // how it stands
	loss    directory.Lost
	waiting bool // news since
}

// lost and regained report whether it is time to log that.
func (l keyLog) lost(x directory.Lost, now time.Time) bool {
	n := l.of(x.Key)
	n.lost, n.loss = true, x
	return n.due(now)
}

func (l keyLog) regained(k directory.Key, now time.Time) bool {
	n := l.of(k)
	n.lost = false
	return n.due(now)
}

func (l keyLog) of(k directory.Key) *keyNews {
	if l[k] == nil {
		l[k] = &keyNews{}
	}
	return l[k]
}

func (n *keyNews) due(now time.Time) bool {
	if now.Before(n.until) {
		n.waiting = true
		return false
	}
	n.until, n.said, n.waiting = now.Add(keyPause), n.lost, false
	return true
}

// late returns the keys whose last change is not in the log yet and may go there
// now, and forgets those that are logged.
func (l keyLog) late(now time.Time) []*keyNews {
	var all []*keyNews
	for k, n := range l {
		switch {
		case now.Before(n.until):
		case n.waiting && n.lost != n.said:
			n.due(now)
			n.loss.Key = k
			all = append(all, n)
		default:
			delete(l, k)
		}
	}
	return all
}

func (n *Node) logLost(l directory.Lost) {
	if l.Taken {
		n.log.Warnf("a container here has lost %v with MAC address %s, which it had taken, %s: let containers take addresses outside every site's --ip-range",
			l.Key, net.HardwareAddr(l.MAC[:]), n.lostTo(l.Owner))
		return
	}
	n.log.Errorf("%v with MAC address %s also belongs to %s, which keeps it: the container here has no traffic with it until that site gives it up; give one of the two containers another address",
		l.Key, net.HardwareAddr(l.MAC[:]), n.called(l.Owner))
}

func (n *Node) lostTo(owner nodeid.ID) string {
	if owner == n.id {
		return "since what Docker hands out comes first"
	}
	return "to " + n.called(owner)
}

func (n *Node) logRegained(k directory.Key) {
	n.log.Warnf("%v is this engine's again: the other node gave it up or is out of reach", k)
}

// logLate logs how those keys stand whose latest change was held back.
func (n *Node) logLate(now time.Time) {
	for _, news := range n.keyLog.late(now) {
		if news.lost {
			n.logLost(news.loss)
		} else {
			n.logRegained(news.loss.Key)
		}
	}
}
