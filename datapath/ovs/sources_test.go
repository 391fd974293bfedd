package ovs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSources(t *testing.T) {
	flows, err := parseDump([]byte(` cookie=0x1, duration=1s, table=0, n_packets=9, n_bytes=1, priority=100,in_port=3,dl_src=02:00:00:00:00:0b actions=resubmit(,11)
 cookie=0x2, duration=1s, table=1, n_packets=5, n_bytes=1, priority=1000,in_port=1,dl_src=02:00:00:00:00:15 actions=resubmit(,2)
 cookie=0x3, duration=1s, table=4, n_packets=2, n_bytes=1, priority=1000,arp,in_port=1,arp_spa=10.0.0.11 actions=resubmit(,5)
 cookie=0x4, duration=1s, table=4, n_packets=3, n_bytes=1, priority=1000,ip,in_port=1,nw_src=10.0.0.11 actions=resubmit(,5)
 cookie=0x5, duration=1s, table=4, n_packets=4, n_bytes=1, priority=1000,ipv6,in_port=1,ipv6_src=fd00::11 actions=resubmit(,5)
 cookie=0x6, duration=1s, table=4, n_packets=0, n_bytes=1, priority=1000,ipv6,in_port=1,ipv6_src=fd00::12 actions=resubmit(,5)
`))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]uint64{"02:00:00:00:00:15": 5, "10.0.0.11": 5, "fd00::11": 4}
	if diff := cmp.Diff(want, sources(flows)); diff != "" {
		t.Error(diff)
	}
}
