package status

import (
	"slices"
	"strings"
	"testing"
)

func TestResembling(t *testing.T) {
	d := Document{Networks: []Network{{Name: "store_shop_net", Overlay: "store_shop_net"}, {Name: "till_default"}}}
	got := d.Resembling(d.Networks[0])
	for _, want := range []string{"shop_net", "net", "store-shop-net", "shop-net", "till_shop_net"} {
		if !slices.Contains(got, want) {
			t.Errorf("%q is not among %q", want, got)
		}
	}
	if slices.Contains(got, "store_shop_net") || slices.Contains(got, "") {
		t.Errorf("%q", got)
	}
	long := Network{Overlay: strings.Repeat("a_", 500)}
	if got := d.Resembling(long); len(got) > namesTried {
		t.Errorf("%d names", len(got))
	}
	named := Network{Name: "Net-A", Overlay: "Net-A"}
	if got := d.Resembling(named); !slices.Contains(got, "net-a") || !slices.Contains(got, "Net_A") || !slices.Contains(got, "till_Net-A") {
		t.Errorf("%q", got)
	}
}

// TestNoteOnAnOverlayOfNobody: it names what fits, or says how sites meet, and leaves the
// engine healthy.
func TestNoteOnAnOverlayOfNobody(t *testing.T) {
	for _, c := range []struct {
		elsewhere []Elsewhere
		want      string
	}{
		{nil, ""},
		{[]Elsewhere{{JID: "b@x", Overlays: 1}, {JID: "c@x", Overlays: 2, Fits: "shop_net"}},
			"no other member has overlay store_shop_net, which network blue is in; c@x has overlay shop_net: sites meet by the overlay's name, so if that is the one, remove the network and create it again with -o evio.overlay=shop_net"},
		{[]Elsewhere{{JID: "b@x", Overlays: 1}},
			"no other member has overlay store_shop_net, which network blue is in, while b@x (1 other overlay) is online: sites meet by the overlay's name, so if it is to reach them, create the network with the same -o evio.overlay=NAME at each site"},
		{[]Elsewhere{{JID: "b@x"}, {JID: "c@x", Overlays: 2}, {JID: "d@x"}, {JID: "e@x"}, {JID: "f@x"}},
			"no other member has overlay store_shop_net, which network blue is in, while b@x (no overlay but this engine's), c@x (2 other overlays), d@x (no overlay but this engine's) and 2 more are online: sites meet by the overlay's name, so if it is to reach them, create the network with the same -o evio.overlay=NAME at each site"},
	} {
		d := running()
		d.Networks[0].Overlay, d.Networks[0].Elsewhere = "store_shop_net", c.elsewhere
		d.Settings.Values = []Setting{{Name: "signalling[0].jid"}}
		h := Judge(d)
		if got := strings.Join(h.Notes, "; "); !h.Healthy || got != c.want {
			t.Errorf("healthy %v, notes %q, want %q", h.Healthy, got, c.want)
		}
	}
}
