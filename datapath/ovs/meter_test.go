package ovs

import "testing"

func TestSumMeters(t *testing.T) {
	got, err := sumMeters([]byte("OFPST_METER reply (OF1.4) (xid=0x2):\nmeter:7 flow_count:1 packet_in_count:130 byte_in_count:9 duration:1.5s bands:\n0: packet_count:12 byte_count:34\n\nmeter:9 flow_count:1 packet_in_count:3 byte_in_count:9 duration:1.5s bands:\n0: packet_count:1 byte_count:3\n"))
	if err != nil || got != 13 {
		t.Errorf("%d, %v", got, err)
	}
	if got, err := sumMeters(nil); err != nil || got != 0 {
		t.Errorf("nothing: %d, %v", got, err)
	}
	if _, err := sumMeters([]byte("packet_count:99999999999999999999")); err == nil {
		t.Error("a number beyond 64 bits")
	}
}
