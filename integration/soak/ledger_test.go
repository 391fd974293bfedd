package soak

import (
	"testing"
	"time"

	"evio/driver/status"
)

// TestSoakLedger: what is not decrypted is seen, also in a session that has ended, unless it
// does not concern the caller.
func TestSoakLedger(t *testing.T) {
	began := time.Date(2026, 12, 1, 1, 2, 3, 0, time.UTC)
	network := func(jid string, established time.Time, rekeys uint64, drops map[string]uint64) status.Network {
		return status.Network{Sessions: []status.Session{{JID: jid, Established: established, Rekeys: rekeys, Drops: drops}, {JID: "not established"}}}
	}
	l := ledger{}
	l.add("a", network("b@x", began, 0, map[string]uint64{"record_keys": 1}))
	since := l.clone()
	if faults := l.faults(ledger{}, func(tunnel) bool { return true }); len(faults) != 1 {
		t.Errorf("%v", faults)
	}
	l.add("a", network("b@x", began, 1, map[string]uint64{"record_keys": 1, "record_slot": 2 * slotLimit, "rekey_stale": 9}))
	l.add("a", network("c@x", began, 0, map[string]uint64{"record_forged": 2}))
	l.add("b", network("c@x", began, 0, map[string]uint64{"record_replayed": 3}))
	l.add("a", network("c@x", began.Add(time.Second), 0, map[string]uint64{}))
	if faults := l.faults(since, func(n tunnel) bool { return n.site == "a" }); len(faults) != 1 {
		t.Errorf("%v", faults)
	}
	if faults := l.faults(since, func(tunnel) bool { return true }); len(faults) != 2 {
		t.Errorf("%v", faults)
	}
	if added := l.added(since); len(added) != 3 {
		t.Errorf("%v", added)
	}
	l.add("a", network("b@x", began, 1, map[string]uint64{"record_keys": 1, "record_slot": 2*slotLimit + 1}))
	if faults := l.faults(since, func(n tunnel) bool { return n.peer == "b@x" }); len(faults) != 1 {
		t.Errorf("%v", faults)
	}
}
