package member

import (
	"crypto/ed25519"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"evio/overlay/identity"
	"evio/overlay/signal"
)

// TestOnlyAnOperatorReplacesAnIdentity: whatever the server does with lists and presences, in
// whatever order, over restarts and damage to the disk, an account has the identity that it
// showed first, or none, until an operator names another one.
func TestOnlyAnOperatorReplacesAnIdentity(t *testing.T) {
	const jid = "b@example.net"
	keys := []ed25519.PrivateKey{newKey(t), newKey(t), newKey(t)}
	dir, own, tries := t.TempDir(), newKey(t), 0
	rapid.Check(t, func(t *rapid.T) {
		tries++
		path := filepath.Join(dir, strconv.Itoa(tries))
		var book *Book
		var service *Service
		const room = "salon@rooms.example.net"
		from := rapid.SampledFrom([]string{"roster", "room:" + room}).Draw(t, "from")
		list := func(members ...string) {
			service.Roster(roster(members...))
			service.Room(room, signal.RoomChange{Members: members, Complete: true}) // one of the two is none of its lists
		}
		begin := func() {
			var err error
			if book, err = Open(Config{Dir: path, Key: own, Log: quiet()}); err != nil {
				t.Fatal(err)
			}
			if service, err = book.Service("a@example.net", map[string]string{AnyOverlay: from}); err != nil {
				t.Fatal(err)
			}
			book.Join("blue", make(chan struct{}, 1), func(Member, []byte) {})
		}
		begin()
		may := -1     // key that the account may have; -1: the first that it shows
		refused := -1 // the last key that was, in this life of the plugin
		listed, damaged := false, false
		t.Repeat(map[string]func(*rapid.T){
			"list":    func(*rapid.T) { list(jid); listed = true },
			"unlist":  func(*rapid.T) { list(); listed = false },
			"restart": func(*rapid.T) { begin(); listed, refused = false, -1 },
			"damage": func(t *rapid.T) {
				if may < 0 {
					return
				}
				if err := os.WriteFile(pinPath(book.pins, jid), []byte("{"), 0o600); err != nil {
					t.Fatal(err)
				}
				begin()
				listed, damaged, refused = false, true, -1
			},
			"show": func(t *rapid.T) {
				key := rapid.IntRange(0, len(keys)-1).Draw(t, "key")
				appear(service, jid+"/1", keys[key], "blue")
				switch {
				case !listed:
				case may < 0:
					may = key
				case damaged || key != may:
					refused = key
				}
			},
			"accept": func(t *rapid.T) {
				key := rapid.IntRange(0, len(keys)-1).Draw(t, "key")
				err := book.Accept(jid, Fingerprint(identity.Public(keys[key])))
				if (err == nil) != (key == refused) {
					t.Fatalf("accept key %d, %d was refused last: %v", key, refused, err)
				}
				if err == nil {
					may, damaged, refused = key, false, -1
				}
			},
			"": func(t *rapid.T) {
				members := book.Members("blue")
				if len(members) > 0 && (!listed || damaged || may < 0 || !members[0].Key.Equal(keys[may].Public())) {
					t.Fatalf("members %+v, want key %d, listed %v, damaged %v", members, may, listed, damaged)
				}
				if len(members) == 0 && listed && !damaged && may >= 0 {
					t.Fatalf("key %d is no member though it is listed", may)
				}
			},
		})
	})
}
