package session

import "context"

// finder is an ICE agent at work. Attempts with the same peer credentials share
// one: a second agent would wait in vain for a nomination that the peer's agent
// has made already (RFC 8445 section 8.1.1: once only). It answers the peer's
// checks until it is stopped.
type finder struct {
	ufrag, password string // of the peer
	cancel          context.CancelFunc
	done            chan struct{}

	found chan struct{} // closed when path or err is set
	path  *path
	err   error
}

// find starts a finder; stop ends it.
func (s *Session) find(ctx context.Context, peer Parameters) *finder {
	ctx, cancel := context.WithCancel(ctx)
	f := &finder{
		ufrag:    peer.Ufrag,
		password: peer.Password,
		cancel:   cancel,
		done:     make(chan struct{}),
		found:    make(chan struct{}),
	}
	go func() {
		defer close(f.done)
		agent, err := s.newAgent(peer)
		if err != nil {
			f.finish(nil, err)
			return
		}
		defer s.release("ICE agent", agent.GracefulClose)
		f.finish(s.findPath(ctx, agent, peer))
		<-ctx.Done()
	}()
	return f
}

func (f *finder) finish(p *path, err error) {
	f.path, f.err = p, err
	close(f.found)
}

// serves tells whether the finder is the one for these parameters.
func (f *finder) serves(peer Parameters) bool {
	return f != nil && f.ufrag == peer.Ufrag && f.password == peer.Password
}

// wait returns the path when it is found.
func (f *finder) wait(ctx context.Context) (*path, error) {
	select {
	case <-f.found:
		return f.path, f.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// stop ends the finder, if there is one, and waits for all that it started.
func (f *finder) stop() {
	if f == nil {
		return
	}
	f.cancel()
	<-f.done
}
