package packet

import (
	"net/netip"
	"testing"
)

func TestAsk(t *testing.T) {
	to, from := MAC{2, 0, 0, 0, 0, 9}, MAC{2, 0, 0, 0, 0, 1}
	for text, source := range map[string]string{"10.0.0.9": "0.0.0.0", "fd00::9": "fe80::ff:fe00:1"} {
		addr := netip.MustParseAddr(text)
		frame := Ask(nil, addr, to, from)
		q, ok := Question(frame)
		want := Query{Target: addr, Asker: from, Source: netip.MustParseAddr(source), DAD: addr.Is4()}
		if !ok || q != want || Destination(frame) != to {
			t.Errorf("%s: %+v to %x, want %+v", text, q, Destination(frame), want)
		}
		answer := Answer(nil, q, to)
		if c, ok := Claims(answer); !ok || c != (Claim{addr, to}) || Destination(answer) != from {
			t.Errorf("%s: the answer says %+v to %x", text, c, Destination(answer))
		}
	}
}
