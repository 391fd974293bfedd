package signal

import (
	"context"
	"fmt"
	"time"

	"gosrc.io/xmpp/stanza"
)

const (
	// backlog is how many stanzas wait for the writer. Send waits beyond it;
	// replies to requests are dropped, so that nobody can make us pile them up.
	backlog      = 64
	writeTimeout = 10 * time.Second
	pingAfter    = 30 * time.Second // of silence
	pingTimeout  = 10 * time.Second
	checkTimeout = 3 * time.Second
	checkPause   = 5 * time.Second // between two checks
	closeTimeout = time.Second
)

// frame is one stanza for the writer.
type frame struct {
	b       []byte
	written chan error // capacity 1; nil: nobody waits
}

// send hands a stanza to the writer and waits until it is written.
func (s *session) send(ctx context.Context, b []byte) error {
	f := frame{b: b, written: make(chan error, 1)}
	select {
	case s.out <- f:
	case <-s.ended:
		return ErrNotConnected
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-f.written:
		return err
	case <-s.ended:
		return ErrNotConnected
	case <-ctx.Done():
		return ctx.Err()
	}
}

// reply hands a stanza to the writer without waiting. The reader calls it.
func (s *session) reply(b []byte, err error) {
	if err != nil {
		s.client.log.WithError(err).Error("encode a reply")
		return
	}
	select {
	case s.out <- frame{b: b}:
	default:
		s.client.ignore(ignoredBacklog)
	}
}

// write writes what is due until ctx ends or the connection does; then it closes
// the connection, which ends the reader. It calls fail with the reason.
func (s *session) write(ctx context.Context, fail context.CancelCauseFunc) {
	defer close(s.ended)
	if err := s.writeLoop(ctx); err != nil {
		fail(err)
	} else {
		s.sayGoodbye()
	}
	_ = s.raw.Close() // nothing is left to lose
}

// watch looks for a server that has fallen silent.
type watch struct {
	timer   *time.Timer
	silent  error  // what it means if nothing comes before the timer: a ping is under way; or nil
	reads   uint64 // since that many reads
	checked time.Time
}

// writeLoop returns nil when ctx ends.
func (s *session) writeLoop(ctx context.Context) error {
	w := watch{timer: time.NewTimer(pingAfter)}
	defer w.timer.Stop()
	defer s.rooms.wake.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case f := <-s.out:
			err := s.writeWithin(writeTimeout, f.b)
			if f.written != nil {
				f.written <- err
			}
			if err != nil {
				return err
			}
		case <-s.client.announce:
			if err := s.announce(); err != nil {
				return err
			}
		case <-s.rooms.wake.C:
			if err := s.ping(); err != nil {
				return err
			}
		case <-s.client.check:
			if err := s.checkNow(&w); err != nil {
				return err
			}
		case <-w.timer.C:
			if err := s.watch(&w); err != nil {
				return err
			}
		}
	}
}

// announce sends our presence to the account's contacts and to the rooms.
func (s *session) announce() error {
	b, err := s.client.presence()
	if err != nil {
		return err
	}
	rooms, err := s.roomPresences()
	if err != nil {
		return fmt.Errorf("encode presence: %w", err)
	}
	for _, b := range append([][]byte{b}, rooms...) {
		if err := s.writeWithin(writeTimeout, b); err != nil {
			return err
		}
	}
	return nil
}

// watch is called when the timer fires: it pings after a silence and fails if one of
// our pings got no answer, nor anything else.
func (s *session) watch(w *watch) error {
	silence := s.in.silence()
	switch {
	case w.silent != nil && s.in.reads.Load() == w.reads:
		return w.silent
	case silence < pingAfter:
		w.silent = nil
		w.timer.Reset(pingAfter - silence)
		return nil
	default:
		return s.pingFor(w, pingTimeout, errSilent)
	}
}

// checkNow pings at once.
func (s *session) checkNow(w *watch) error {
	if now := time.Now(); now.Sub(w.checked) >= checkPause {
		w.checked = now
		return s.pingFor(w, checkTimeout, errUnanswered)
	}
	return nil
}

func (s *session) pingFor(w *watch, d time.Duration, silent error) error {
	w.silent, w.reads = silent, s.in.reads.Load()
	w.timer.Reset(d)
	return s.ping()
}

func (s *session) ping() error {
	b, err := requestXML(stanza.IQTypeGet, s.client.account.domain, s.startPing(), &ping{})
	if err != nil {
		return fmt.Errorf("encode ping: %w", err)
	}
	return s.writeWithin(writeTimeout, b)
}

// sayGoodbye ends the stream so that the server tells our contacts at once.
func (s *session) sayGoodbye() {
	if s.writeWithin(closeTimeout, []byte("<presence type='unavailable'/>"+stanza.StreamClose)) == nil {
		_ = s.conn.Close()
	}
}
