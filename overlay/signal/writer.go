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

// writeLoop returns nil when ctx ends.
func (s *session) writeLoop(ctx context.Context) error {
	watch := time.NewTimer(pingAfter)
	defer watch.Stop()
	pinged, reads := false, uint64(0) // a ping is under way since that many reads
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
			b, err := s.client.presence()
			if err != nil {
				return err
			}
			if err := s.writeWithin(writeTimeout, b); err != nil {
				return err
			}
		case <-watch.C:
			silence := s.in.silence()
			switch {
			case pinged && s.in.reads.Load() == reads:
				return errSilent
			case silence < pingAfter:
				pinged = false
				watch.Reset(pingAfter - silence)
			default:
				pinged, reads = true, s.in.reads.Load()
				if err := s.ping(); err != nil {
					return err
				}
				watch.Reset(pingTimeout)
			}
		}
	}
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
