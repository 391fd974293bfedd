package member

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"
)

// Two live engines with one identity, a copied machine mostly, would take each
// other's sessions. The presence that shows the identity may as well be this
// engine's own last connection, which the server has not given up yet; so it is
// asked, and only who answers counts. The engine that was started later stops.

const (
	askAgain  = 30 * time.Second // while the presence is there
	sendLimit = 10 * time.Second
	// maxDuplicates bounds the presences of one service that are asked.
	maxDuplicates = 8
)

// duplicate is another full JID that shows this engine's identity.
type duplicate struct {
	nonce [nonceSize]byte // of the last question
	again *time.Timer
	told  bool
}

// ownFullLocked reports whether a full JID is this engine's own, by any of its accounts.
func (b *Book) ownFullLocked(full string) bool {
	for _, s := range b.services {
		if s.full == full {
			return true
		}
	}
	return false
}

// suspectDuplicate begins to ask a full JID that shows this engine's identity.
func (s *Service) suspectDuplicate(full string) {
	s.book.mu.Lock()
	known := s.duplicates[full] != nil
	ask := !known && s.book.stopped == "" && len(s.duplicates) < maxDuplicates && !s.book.ownFullLocked(full)
	if ask {
		s.duplicates[full] = &duplicate{}
	}
	s.book.mu.Unlock()
	if ask {
		s.askDuplicate(full)
	}
}

// askDuplicate asks, and again after a while.
func (s *Service) askDuplicate(full string) {
	s.book.mu.Lock()
	t := s.duplicates[full]
	if t == nil || s.book.stopped != "" {
		s.book.mu.Unlock()
		return
	}
	_, _ = rand.Read(t.nonce[:]) // never fails
	question := duplicateMessage{kind: duplicateQuestion, nonce: t.nonce, start: s.book.started}.encode(s.book.key, s.full, full)
	t.again = time.AfterFunc(askAgain, func() { s.askDuplicate(full) })
	s.book.mu.Unlock()
	s.sendDuplicate(full, question)
}

func (s *Service) sendDuplicate(full string, message []byte) {
	s.book.mu.Lock()
	a := s.announcer
	s.book.mu.Unlock()
	if a == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), sendLimit)
	defer cancel()
	if err := a.Send(ctx, full, message); err != nil {
		s.log.WithError(err).WithField("resource", full).Debug("signalling: question about this engine's identity not sent")
	}
}

// dropDuplicateLocked is called when the presence is gone.
func (s *Service) dropDuplicateLocked(full string) {
	if t := s.duplicates[full]; t != nil {
		if t.again != nil {
			t.again.Stop()
		}
		delete(s.duplicates, full)
	}
}

// duplicateMessage takes a question or an answer of an account that may be heard.
func (s *Service) duplicateMessage(from string, payload []byte) {
	s.book.mu.Lock()
	full, heard := s.full, bare(from) == s.jid || s.vouchedLocked(bare(from))
	s.book.mu.Unlock()
	if !heard || from == full {
		s.strangers.Add(1)
		return
	}
	m, err := parseDuplicateMessage(payload, s.book.self, from, full)
	if err != nil {
		s.strangers.Add(1)
		s.log.WithField("peer", from).WithError(err).Debug("signalling: message dropped")
		return
	}
	if m.kind == duplicateQuestion {
		s.answerDuplicate(from, m)
		return
	}
	s.book.mu.Lock()
	t := s.duplicates[from]
	alive := t != nil && t.nonce == m.nonce
	if alive {
		_, _ = rand.Read(t.nonce[:]) // one answer for each question
	}
	s.book.mu.Unlock()
	switch {
	case !alive:
		s.strangers.Add(1)
	case s.startedBefore(m.start, from):
		s.tellDuplicate(from, m.start)
	default:
		s.book.stop(from, m.start)
	}
}

// answerDuplicate answers a question, unless this engine has stopped: then the other may
// go on whoever is older.
func (s *Service) answerDuplicate(from string, m duplicateMessage) {
	s.book.mu.Lock()
	stopped := s.book.stopped != ""
	answer := duplicateMessage{kind: duplicateAnswer, nonce: m.nonce, start: s.book.started}.encode(s.book.key, s.full, from)
	s.book.mu.Unlock()
	if stopped {
		return
	}
	s.suspectDuplicate(from)
	s.tellDuplicate(from, m.start)
	s.sendDuplicate(from, answer)
}

// startedBefore reports whether this engine goes on. Of two that started in the same
// millisecond the one with the lower full JID does.
func (s *Service) startedBefore(other time.Time, from string) bool {
	s.book.mu.Lock()
	defer s.book.mu.Unlock()
	if c := s.book.started.Compare(other); c != 0 {
		return c < 0
	}
	return s.full < from
}

// tellDuplicate logs a live duplicate once while its presence is there.
func (s *Service) tellDuplicate(from string, start time.Time) {
	s.book.mu.Lock()
	t := s.duplicates[from]
	news := t != nil && !t.told
	if news {
		t.told = true
	}
	s.book.mu.Unlock()
	if news {
		s.log.WithField("resource", from).Errorf("signalling: another engine, started %s, has this engine's identity: the later one of the two leaves its overlays; remove identity.pem from the copy's state directory and restart the plugin there", start.UTC().Format(time.RFC3339))
	}
}

// stop takes this engine out of all overlays until it is restarted.
func (b *Book) stop(from string, start time.Time) {
	b.mu.Lock()
	first := b.stopped == ""
	if first {
		b.stopped = fmt.Sprintf("the engine at %s, started %s, before this one, has the same identity, so this engine has left its overlays: remove identity.pem from the state directory of the one that is the copy and restart the plugin there",
			from, start.UTC().Format(time.RFC3339))
		for _, s := range b.services {
			for full := range s.duplicates {
				s.dropDuplicateLocked(full)
			}
		}
	}
	reason := b.stopped
	b.mu.Unlock()
	if first {
		b.log.Error("signalling: " + reason)
		b.announce()
		b.notifyAll()
	}
}
