package netdev

import "testing"

func TestIsOffload(t *testing.T) {
	for feature, want := range map[string]bool{
		"tx-udp-segmentation": true, "tx-tcp-accecn-segmentation": true, "tx-gso-list": true, "tx-gso-partial": true,
		"tx-checksum-sctp": true, "tx-udp-fragmentation": true,
		"tx-scatter-gather": false, "tx-vlan-hw-insert": false, "tx-lockless": false, "tx-nocache-copy": false,
		"rx-gro": false, "rx-gro-list": false, "rx-checksum": false,
	} {
		if got := isOffload(feature); got != want {
			t.Errorf("%s: %v, want %v", feature, got, want)
		}
	}
}

func TestParseUnsent(t *testing.T) {
	const text = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:  100       1    0    0    0     0          0         0      100       1    0    0    0     0       0          0
evl12345678:1 2 3 4 5 6 7 8 9 10 11 1234 13 14 15 16
short: 1 2 3
`
	got := parseUnsent(text)
	if len(got) != 2 || got["lo"] != 0 || got["evl12345678"] != 1234 {
		t.Errorf("%v", got)
	}
}
