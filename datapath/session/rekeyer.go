package session

import (
	"cmp"
	"context"
	"errors"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/session/connect"
	"evio/datapath/session/rekey"
)

// rekeyer drives rekey.Machine while a session is established. One goroutine owns it; the
// reader hands over messages and reports confirmed keys.
type rekeyer struct {
	session *Session
	machine *rekey.Machine
	inbox   chan rekey.Message // capacity connect.InboxSize: the flights of one handshake
	wake    chan struct{}      // capacity 1: pending keys have become current
	secrets chan struct{}      // capacity 1: the overlay has other secrets than before
	lapse   time.Duration      // when the session ends because its secret is out of use; Never if it is not
	refused error              // why the peer's proof was refused

	handshake *rekeyHandshake // at work, nil if there is none
	proved    *secretProof    // with which the newest keys were made
	switches  uint64          // of the keys, as far as the machine knows them

	cancel context.CancelFunc
	done   chan struct{}
}

// startRekeyer is called once the first keys are confirmed. stopRekeyer ends it.
func startRekeyer(ctx context.Context, s *Session) {
	every := s.transport.config.RekeyEvery
	if every == 0 {
		every = rekey.DefaultInterval
	}
	ctx, cancel := context.WithCancel(ctx)
	r := &rekeyer{
		session: s,
		machine: rekey.New(s.lower, every, s.transport.now()),
		inbox:   make(chan rekey.Message, connect.InboxSize),
		wake:    make(chan struct{}, 1),
		secrets: make(chan struct{}, 1),
		lapse:   rekey.Never,
		cancel:  cancel,
		done:    make(chan struct{}),
	}
	s.rekeyer.Store(r)
	go func() {
		defer close(r.done)
		r.run(ctx)
	}()
}

// stopRekeyer ends the rekeyer of a session, if there is one, and waits for it.
func stopRekeyer(s *Session) {
	if r := s.rekeyer.Swap(nil); r != nil {
		r.cancel()
		<-r.done
	}
}

func (r *rekeyer) run(ctx context.Context) {
	defer r.stop()
	r.lookAtSecret()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		keys := r.session.keys.Load()
		if keys == nil {
			return // the session is over
		}
		var ended <-chan rekeyResult
		if r.handshake != nil {
			ended = r.handshake.ended
		}
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-r.wake:
		case <-r.secrets:
			r.lookAtSecret()
		case <-keys.Current.Soon():
			r.machine.Soon(r.now())
		case m := <-r.inbox:
			r.confirmed(ctx)
			r.receive(ctx, m)
		case end := <-ended:
			r.confirmed(ctx)
			r.ended(ctx, end)
		}
		r.confirmed(ctx)
		if r.now() >= r.lapse {
			r.session.end(cmp.Or(r.refused, errLapsed))
			return
		}
		r.work(ctx, r.machine.Tick(r.now()))
		timer.Reset(min(r.machine.Next(), r.lapse) - r.now())
	}
}

func (r *rekeyer) now() time.Duration { return r.session.transport.now() }

// confirmed reports to the machine that the reader has made keys current. It is called
// before whatever followed on the wire.
func (r *rekeyer) confirmed(ctx context.Context) {
	keys := r.session.keys.Load()
	if keys == nil || keys.Switches == r.switches {
		return
	}
	r.switches = keys.Switches
	r.work(ctx, r.machine.Confirmed(r.now()))
	r.proved.keep()
	r.lookAtSecret()
}

// lookAtSecret has the keys replaced if they come from a secret that is out of use, and sets
// the time when that has to be done.
func (r *rekeyer) lookAtSecret() {
	switch {
	case r.refused != nil:
		return
	case !r.session.lapsed():
		r.lapse = rekey.Never
		return
	case r.lapse == rekey.Never:
		r.lapse = r.now() + proofLapse
	}
	r.machine.Soon(r.now())
}

func (r *rekeyer) receive(ctx context.Context, m rekey.Message) {
	taken := false
	switch m.Op {
	case rekey.OpRequest:
		taken = r.machine.Asked(m.ID, r.now())
	case rekey.OpFlight:
		var work []rekey.Effect
		work, taken = r.machine.Flight(m.ID, r.now())
		r.work(ctx, work)
		if taken && r.handshake != nil && !r.handshake.Inbox.Put(netip.AddrPort{}, m.Body) {
			r.session.drops.Add(drops.RekeyQueue)
		}
	}
	if !taken {
		r.session.drops.Add(drops.RekeyStale)
	}
}

// ended takes the result of the handshake.
func (r *rekeyer) ended(ctx context.Context, end rekeyResult) {
	if end.keys == nil {
		r.session.log.WithError(end.err).Debug("handshake for new keys")
		r.judge(end.err)
		r.work(ctx, r.machine.Failed(r.now()))
		return
	}
	r.session.keys.Expect(end.keys)
	r.proved = end.proved
	r.work(ctx, r.machine.Done(r.now()))
}

// judge ends the session soon if the peer was refused, or leaves proofs undone.
func (r *rekeyer) judge(err error) {
	switch {
	case r.refused != nil:
		return
	case errors.Is(err, ErrSecret):
	case r.session.shown.Load() >= maxProofs:
		err = errUnproved
	default:
		return
	}
	r.refused, r.lapse = err, r.now()
	r.session.refused.Store(&err)
	if !r.session.lower {
		r.lapse += proofInterval // so that the peer, to which the refusal is on its way, ends it first
	}
}

// work carries out what the machine wants.
func (r *rekeyer) work(ctx context.Context, effects []rekey.Effect) {
	s := r.session
	for _, effect := range effects {
		keys := s.keys.Load()
		if keys == nil {
			return
		}
		switch effect {
		case rekey.Begin:
			r.handshake = startRekey(ctx, s, r.machine.Newest, keys.Terms)
		case rekey.Expire:
			r.ended(ctx, r.stop())
		case rekey.Stop:
			r.stop()
		case rekey.Probe:
			if keys.Pending != nil {
				s.sendProbe(keys.Pending)
			}
		case rekey.Request:
			s.sendRekey(rekey.Message{Op: rekey.OpRequest, ID: r.machine.Current})
		case rekey.Forget:
			s.keys.Expect(nil)
		case rekey.Wipe:
			s.keys.Wipe()
		case rekey.Failed:
			s.log.Warn("keys could not be replaced; the old ones stay in use, and it is tried again")
		case rekey.Recovered:
			s.log.Info("keys have been replaced after all")
		}
	}
}

func (r *rekeyer) stop() rekeyResult {
	end := r.handshake.stop()
	r.handshake = nil
	r.judge(end.err) // also where a further rekey has ended this one
	return end
}
