package session

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"evio/datapath/drops"
	"evio/datapath/record"
	"evio/datapath/session/connect"
	"evio/datapath/session/rekey"
)

// rekeyer drives the machine of rekeying while a session is established. One
// goroutine owns it; the reader hands over messages and tells of confirmed keys.
type rekeyer struct {
	session *Session
	machine *rekey.Machine
	inbox   chan rekey.Message // capacity connect.InboxSize: flights of one handshake
	wake    chan struct{}      // capacity 1: pending keys have become current
	secrets chan struct{}      // capacity 1: the overlay has other secrets than before
	lapse   time.Duration      // when the session ends, its secret being out of use; never if it is not
	refused error              // the peer has no secret of today

	exchange *exchange // at work, nil if there is none
	proved   *proving  // by which the newest keys were made
	switches uint64    // of the keys, as far as the machine knows them

	cancel context.CancelFunc
	done   chan struct{}
}

// errLapsed is why a session ends that nobody has proved a secret of today for.
var errLapsed = fmt.Errorf("%w: the one that this session was made with is not in the file of this node any more, and the peer has proved none that is", ErrSecret)

// startRekeying is called once the first keys are confirmed.
func (s *Session) startRekeying(ctx context.Context) {
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

// stopRekeying ends what startRekeying has started, if it has.
func (s *Session) stopRekeying() {
	if r := s.rekeyer.Swap(nil); r != nil {
		r.cancel()
		<-r.done
	}
}

// receiveRekey passes a message to the rekeyer. It is called by the reader.
func (s *Session) receiveRekey(p record.Plain) {
	m, ok := rekey.Parse(p.Body)
	if p.Slice || !ok {
		s.drops.Add(drops.RecordPlain)
		return
	}
	r := s.rekeyer.Load()
	if r == nil {
		s.drops.Add(drops.RekeyStale)
		return
	}
	m.Body = bytes.Clone(m.Body)
	select {
	case r.inbox <- m:
	default:
		s.drops.Add(drops.RekeyQueue)
	}
}

// confirmKeys is called by the reader with the keys of a valid record. It returns
// false if they are out of use.
func (s *Session) confirmKeys(keys *record.Keys) bool {
	switched, valid := s.keys.Confirm(keys, time.Now)
	if r := s.rekeyer.Load(); switched && r != nil {
		select {
		case r.wake <- struct{}{}:
		default:
		}
	}
	return valid
}

func (s *Session) sendRekey(m rekey.Message) {
	if rekey.HeaderSize+len(m.Body) > Rekey.limit() {
		s.drops.Add(drops.SendSize)
		return
	}
	s.sendOwn(s.keys.Sending(), Rekey, m.Append)
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
		var ended <-chan exchanged
		if r.exchange != nil {
			ended = r.exchange.ended
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

// confirmed tells the machine of keys that the reader has made current. It is
// called before everything that followed on the wire.
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

// lookAtSecret has the keys replaced if they come from a secret that is out of use, and
// sees to it that they are in time.
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
		if taken && r.exchange != nil && !r.exchange.Inbox.Put(netip.AddrPort{}, m.Body) {
			r.session.drops.Add(drops.RekeyQueue)
		}
	}
	if !taken {
		r.session.drops.Add(drops.RekeyStale)
	}
}

// ended takes the result of the exchange.
func (r *rekeyer) ended(ctx context.Context, end exchanged) {
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

// judge ends the session if the peer has been refused, or leaves proofs undone.
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
		r.lapse += proofInterval // the peer, which is told so now, hears of it first
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
			r.exchange = s.exchange(ctx, r.machine.Newest, keys.Terms)
		case rekey.Expire:
			r.ended(ctx, r.stop())
		case rekey.Stop:
			r.stop()
		case rekey.Probe:
			if keys.Pending != nil {
				s.sendProbeUnder(keys.Pending)
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

func (r *rekeyer) stop() exchanged {
	end := r.exchange.stop()
	r.exchange = nil
	r.judge(end.err) // also where a further rekey has ended this one
	return end
}
