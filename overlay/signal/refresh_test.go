package signal

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestSlowRoster: a server that needs longer for the roster than the time between two
// requests confirms it with each answer, unless several more were sent meanwhile.
func TestSlowRoster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serve(func(p *peer, full string) {
			var waiting []string
			for round := 1; ; {
				iq, ok := p.read()
				switch {
				case !ok:
					return
				case strings.Contains(iq.Inner, nsPing):
					p.send("<iq type='result' id='%s' from='%s'/>", iq.attr("id"), testDomain)
				case strings.Contains(iq.Inner, "jabber:iq:roster"):
					waiting = append(waiting, iq.attr("id"))
					behind := unanswered - 1
					if round > 3 {
						behind = unanswered
					}
					if len(waiting) > behind {
						p.send("<iq type='result' id='%s' to='%s'><query xmlns='jabber:iq:roster'><item jid='round%d@evio.test' subscription='both'/></query></iq>", waiting[0], full, round)
						waiting, round = waiting[1:], round+1
					}
				}
			}
		}))
		s.cfg.Refresh = 10 * time.Second
		s.start()
		s.expectLogin()
		for _, want := range []string{"round1", "round2", "round3"} {
			s.expect("roster " + want + "@evio.test:both[]")
		}
		<-time.After(time.Minute)
		if got := s.client.Status().Ignored; got[ignoredReply] < 4 || len(s.events) > 0 {
			t.Errorf("answers to what was asked before the last %d requests: ignored %v, %d events", unanswered, got, len(s.events))
		}
		s.end()
	})
}
