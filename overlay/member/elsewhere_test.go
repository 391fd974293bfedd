package member

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestElsewhere: members that are online without the overlay are listed, with the name that
// fits among those asked for. A member in the overlay, one that is offline and an account that
// is no member are not.
func TestElsewhere(t *testing.T) {
	f := newFixture(t)
	f.book.Join("green", make(chan struct{}, 1), func(Member, []byte) {})
	f.service.Roster(roster("b@example.net", "c@example.net", "d@example.net"))
	b, c := newKey(t), newKey(t)
	appear(f.service, "stranger@example.net/r", newKey(t), "shop_net")
	if got := f.book.Elsewhere("blue", nil); len(got) != 0 {
		t.Errorf("nobody is online: %+v", got)
	}
	appear(f.service, "b@example.net/r", b, "green", "other")
	appear(f.service, "c@example.net/r", c, "shop_net", "green", "third")
	want := []Elsewhere{{JID: "b@example.net", Unknown: 1}, {JID: "c@example.net", Unknown: 2, Fits: "shop_net"}}
	if diff := cmp.Diff(want, f.book.Elsewhere("blue", []string{"green", "shop", "shop_net", "third"})); diff != "" {
		t.Error(diff)
	}
	if got := f.book.Elsewhere("green", nil); len(got) != 0 {
		t.Errorf("they are in green: %+v", got)
	}
	appear(f.service, "c@example.net/r", c, "shop_net", "blue")
	if got := f.book.Elsewhere("blue", nil); len(got) != 0 {
		t.Errorf("one is in blue: %+v", got)
	}
	f.service.Presence("b@example.net/r", false, nil)
	f.service.Presence("c@example.net/r", false, nil)
	if got := f.book.Elsewhere("blue", nil); len(got) != 0 {
		t.Errorf("nobody is online any more: %+v", got)
	}
}
