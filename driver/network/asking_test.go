package network

import (
	"net/netip"
	"testing"

	"evio/driver/network/claims"
	"evio/overlay/directory"
	"evio/overlay/nodeid"
)

// The log says who has what a container announces, and what to do about it.
func TestHolderIsTold(t *testing.T) {
	for _, c := range []struct {
		holder claims.Holder
		want   string
	}{
		{claims.Holder{Node: nodeid.ID{1}, Name: "b@example.org"}, "a container of b@example.org has: it gets it when that one no longer answers for it"},
		{claims.Holder{Node: nodeid.ID{1}, Name: "b@example.org", Addr: netip.MustParseAddr("10.9.0.2")}, "a container (10.9.0.2) of b@example.org has: it gets it when that one no longer answers for it"},
		{claims.Holder{Container: "0123456789abcdef", Given: true}, "a container of this engine (endpoint 0123456789ab) has from Docker: use one that Docker does not hand out"},
		{claims.Holder{Given: true}, "Docker took back less than 10 minutes ago: use another one, or wait"},
		{claims.Holder{}, "another container used first: use another one"},
	} {
		if got := hasIt(c.holder); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}

// What the operator keeps for another account no container can get by announcing it.
func TestReservedAddressIsNotWaitedFor(t *testing.T) {
	got := outcome(&directory.ConflictError{Owner: nodeid.ID{1}, Reserved: true})
	if got.Cause != claims.Outside || !got.Final {
		t.Errorf("outcome %+v", got)
	}
}
