package signal

import (
	"bytes"
	"encoding/base64"
	"encoding/xml"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
	"gosrc.io/xmpp/stanza"
)

// maxCost bounds what one hostile stanza may allocate in passing, whatever its
// shape: some fifty times its bytes, for attributes of no length.
const maxCost = 16 << 20

// cost is how many bytes f allocates.
func cost(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// deaf is a connection that reads bytes of the test and swallows what is written.
type deaf struct {
	*pipeConn
	r io.Reader
}

func (d deaf) Read(p []byte) (int, error)  { return d.r.Read(p) }
func (d deaf) Write(p []byte) (int, error) { return len(p), nil }

// quietHandler checks what a Handler may rely on.
type quietHandler struct{ t testing.TB }

func (quietHandler) Up(string)  {}
func (quietHandler) Down(error) {}

func (h quietHandler) Roster(items []Item) {
	for i, item := range items {
		if item.JID == "" || strings.Contains(item.JID, "/") || i > 0 && items[i-1].JID >= item.JID {
			h.t.Errorf("roster %+v", items)
		}
	}
}

func (h quietHandler) Presence(from string, _ bool, extension []byte) {
	if !isFull(from) || len(extension) > MaxPayload {
		h.t.Errorf("presence of %q with %d bytes", from, len(extension))
	}
}

func (h quietHandler) Room(_ string, c RoomChange) {
	for _, jid := range append(c.Members, c.Removed...) {
		if jid == "" || strings.Contains(jid, "/") {
			h.t.Errorf("members %q", jid)
		}
	}
}

func (h quietHandler) Occupant(_, from string, available bool, extension []byte) {
	h.Presence(from, available, extension)
}

func (h quietHandler) Message(from string, payload []byte) {
	if !isFull(from) || payload == nil || len(payload) > MaxPayload {
		h.t.Errorf("message of %q with %d bytes", from, len(payload))
	}
}

const streamHeader = "<stream:stream version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>"

// loggedIn is a session whose server says what follows the stream's features.
func loggedIn(t testing.TB, from io.Reader) *session {
	t.Helper()
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	c, err := New(Config{
		JID:      testJID,
		Password: func() (string, error) { return "", nil },
		Rooms:    []string{someRoom},
		Log:      logrus.NewEntry(logger),
	}, quietHandler{t})
	if err != nil {
		t.Fatal(err)
	}
	conn := deaf{r: io.MultiReader(strings.NewReader(streamHeader+"<stream:features/>"), from)}
	s := newStream(conn, conn)
	if _, err := s.open(testDomain); err != nil {
		t.Fatal(err)
	}
	bob := &stanza.RosterItems{Items: []stanza.RosterItem{{Jid: "bob@evio.test"}}}
	return newSession(c, &login{stream: s, full: testJID + "/evio-1", roster: newRoster(bob)})
}

// FuzzRoom feeds a session that is in a room, or about to be, what the room and its
// occupants say.
func FuzzRoom(f *testing.F) {
	for _, seed := range []string{
		occupant("b", "", item("bob@evio.test/1", "member", "")) + occupant("b", "type='unavailable'", item("bob@evio.test/1", "none", "")),
		occupant("a", "", item(testJID+"/evio-1", "member", "")+"<status code='110'/>"),
		occupant("a", "type='unavailable'", item(testJID+"/evio-1", "none", "nick='z'")+"<status code='303'/><status code='110'/>"),
		occupant("a", "type='unavailable'", "<destroy/><status code='110'/>"),
		"<presence from='" + someRoom + "/a' type='error'><error type='cancel'><conflict xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></presence>",
		"<message from='" + someRoom + "'><x xmlns='http://jabber.org/protocol/muc#user'>" + item("c@d", "outcast", "") + "<status code='104'/></x></message>",
		"<iq type='result' id='q' from='" + someRoom + "'><query xmlns='http://jabber.org/protocol/disco#info'>" + fit + "</query></iq>",
		"<iq type='result' id='q' from='" + someRoom + "'><query xmlns='http://jabber.org/protocol/muc#admin'>" + item("c@d", "owner", "") + "</query></iq>",
		"<iq type='error' id='q' from='" + someRoom + "/a'><error/></iq>",
	} {
		for step := range roomPinging + 1 {
			f.Add([]byte(seed), byte(step), step > roomJoining)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte, step byte, in bool) {
		s := loggedIn(t, bytes.NewReader(b))
		r := s.rooms.of(someRoom)
		r.step, r.in, r.nick, r.request, r.listed = roomStep(step)%(roomPinging+1), in, "a", "q", map[string]bool{}
		s.noteRoom(r)
		for s.readOne() == nil {
			if len(s.out) == cap(s.out) {
				<-s.out
			}
			if at := s.occupied[someRoom]; r.in != (at != "") || r.in && at != r.occupantJID() {
				t.Fatalf("in %v as %q, the writer believes %q", r.in, r.nick, at)
			}
		}
	})
}

// FuzzReader feeds a session after its login.
func FuzzReader(f *testing.F) {
	for _, seed := range []string{
		"<message from='bob@evio.test/1'><evio xmlns='urn:evio:1'>eA==</evio></message>",
		"<message from='a@b/c' type='error'><error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>",
		"<presence from='bob@evio.test/1' type='unavailable'/> <presence from='bob@evio.test' type='subscribe'/>",
		"<presence from='bob@evio.test/1'><evio xmlns='urn:evio:1'/><evio xmlns='urn:evio:1'/></presence>",
		"<iq type='set' id='1'><query xmlns='jabber:iq:roster'><item jid='c@d' subscription='both'><group>g</group></item></query></iq>",
		"<iq type='get' id='1' from='evio.test'><ping xmlns='urn:xmpp:ping'/></iq>",
		"<iq type='result' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>a@b/c</jid></bind></iq>",
		"<iq type='error' id='1'><error code='503' type='cancel'><x><y/></x></error></iq>",
		"<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error></stream:stream>",
		"<message xmlns:y='urn:y' y:from='x' from='y' from='z'/>",
		"<!DOCTYPE a [<!ENTITY b 'c'>]><message>&b;&#x41;</message>",
		"<?xml version='1.1' encoding='latin1'?>",
		"<![CDATA[x]]><!-- y -->",
		strings.Repeat("<x>", 100),
		"</stream:stream>",
		" \n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s := loggedIn(t, bytes.NewReader(b))
		stanzas := 0
		spent := cost(func() {
			for s.readOne() == nil {
				stanzas++
			}
		})
		if stanzas > len(b) {
			t.Errorf("%d stanzas of %d bytes", stanzas, len(b))
		}
		if limit := uint64(maxCost + 1000*len(b)); spent > limit {
			t.Errorf("%d bytes cost %d", len(b), spent)
		}
	})
}

// FuzzLogin feeds a client from the first byte that a server inside TLS says.
func FuzzLogin(f *testing.F) {
	const features = streamHeader + "<stream:features>"
	for _, seed := range []string{
		features + "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism></mechanisms></stream:features>" +
			"<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>" +
			features + "<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></stream:features>",
		features + "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>SCRAM-SHA-256</mechanism></mechanisms></stream:features>" +
			"<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>cj14LHM9YyxpPTQwOTY=</challenge>",
		features + "</stream:features><failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><not-authorized/></failure>",
		features + "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features><proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
		"<stream:error xmlns:stream='http://etherx.jabber.org/streams'/>",
		"<?xml version='1.0'?><html/>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := deaf{r: bytes.NewReader(b)}
		s := newStream(conn, conn)
		_ = s.startTLS(testDomain)

		conn = deaf{r: bytes.NewReader(b)}
		s = newStream(conn, conn)
		if _, err := s.open(testDomain); err != nil {
			return
		}
		m := mechanism{name: "PLAIN", proved: func() bool { return true }}
		if bytes.Contains(b, []byte("SCRAM")) {
			m.respond = func(challenge string) (string, error) { return "", checkIterations(challenge) }
		}
		if s.authenticate(m) != nil {
			return
		}
		if _, err := s.open(testDomain); err != nil {
			return
		}
		ignore := func(string) {}
		if full, err := s.bind(testJID, ignore); err == nil && !isFull(full) {
			t.Errorf("bound %q", full)
		}
		if r, err := s.fetchRoster(testJID+"/x", ignore); err == nil && len(r) > len(b) {
			t.Errorf("%d contacts", len(r))
		}
	})
}

// FuzzPayload decodes the text of our element.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{"", "eA==", " eA== ", "eA=", "eB==", "=", "<", strings.Repeat("A", 11000)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := decodePayload([]element{{Data: text}})
		if err != nil {
			return
		}
		if b == nil || len(b) > MaxPayload {
			t.Fatalf("%d bytes, nil %v", len(b), b == nil)
		}
		again, err := decodePayload([]element{encodePayload(b)})
		if err != nil || !bytes.Equal(again, b) {
			t.Fatalf("%q came back as %q, %v", b, again, err)
		}
	})
}

// FuzzJID takes addresses apart.
func FuzzJID(f *testing.F) {
	for _, seed := range []string{"a@b/c", "a@b", "b", "@", "a@b/c/d@e", "", "a b@c/d", "a@b/", "\xff@b/c"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, jid string) {
		if !isFull(jid) {
			return
		}
		bare := bareOf(jid)
		if isFull(bare) || len(bare) >= len(jid) || strings.Count(bare, "@") != 1 {
			t.Errorf("%q has the bare JID %q", jid, bare)
		}
	})
}

// FuzzOutline compares where stanzas end with what the decoder makes of them.
func FuzzOutline(f *testing.F) {
	for _, seed := range []string{
		"<message from='a>b\"' to=\"'>\"><x/><y></y >]]<![CDATA[<a></b>]]]><![CDATA[]]]]></message ><iq/>",
		"<a b='/'/><a/ ><c><d/></c></e>",
		"<a>&gt;</a> <b\n>\n</b\t>",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		conn := deaf{r: io.MultiReader(strings.NewReader(streamHeader+"<stream:features/>"), bytes.NewReader(b))}
		s := newStream(conn, conn)
		if _, err := s.open(testDomain); err != nil {
			t.Fatal(err)
		}
		depth := 0
		for {
			token, err := s.dec.Token()
			if err != nil {
				return
			}
			switch token.(type) {
			case xml.StartElement:
				depth++
			case xml.EndElement:
				if depth--; depth < 0 {
					return
				}
			}
			if o := s.in.scanner; o.broken || o.ended != (depth == 0) && !s.emptyStart(token) {
				t.Fatalf("depth %d, scanner %+v", depth, o)
			}
		}
	})
}

// emptyStart reports whether the token is the first half of an empty element, whose
// end has been read already.
func (s *stream) emptyStart(token xml.Token) bool {
	_, start := token.(xml.StartElement)
	return start && s.in.scanner.state == inText && s.in.scanner.ended
}

// TestCost is the worst that one stanza can do, in several shapes.
func TestCost(t *testing.T) {
	endless := func(head, body string) io.Reader {
		return io.MultiReader(strings.NewReader(head), &cycle{[]byte(body), 0})
	}
	repeat := func(head, body string) io.Reader { return io.LimitReader(endless(head, body), 2*maxStanza) }
	for _, test := range []struct {
		name string
		r    io.Reader
	}{
		{"text without end", endless("<message><body>", "x")},
		{"attribute", repeat("<message from='", "x")},
		{"attributes", repeat("<message", " a=''")},
		{"children", repeat("<message>", "<x/>")},
		{"payloads", repeat("<message>", "<evio xmlns='urn:evio:1'/>")},
		{"depth", repeat("<message>", "<x>")},
		{"name spaces", repeat("<message>", "<x xmlns='a'/>")},
		{"roster of a stranger", repeat("<iq type='set' from='a@b/c'><query xmlns='jabber:iq:roster'>", "<item/>")},
		{"error", repeat("<iq type='error'><error>", "<x/>")},
		{"errors", repeat("<iq type='error'>", "<error/>")},
		{"items of a room", repeat("<presence from='"+someRoom+"/a'><x xmlns='"+nsRoomUser+"'>", "<item jid='a@b/c'/>")},
		{"words of a room", repeat("<presence from='"+someRoom+"/a'>", "<x xmlns='"+nsRoomUser+"'/>")},
		{"list of a room", repeat("<iq type='result' from='"+someRoom+"'><query xmlns='"+nsRoomAdmin+"'>", "<item/>")},
		{"features of a room", repeat("<iq type='result' from='"+someRoom+"'><query xmlns='"+nsDisco+"'>", "<feature/>")},
		{"stream error", repeat("<stream:error>", "<x/>")},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := loggedIn(t, test.r)
			var err error
			spent := cost(func() {
				for err == nil {
					err = s.readOne()
				}
			})
			t.Logf("%d KiB: %v", spent>>10, err)
			if spent > maxCost {
				t.Errorf("a stanza cost %d KiB", spent>>10)
			}
		})
	}
}

// cycle repeats text for ever.
type cycle struct {
	text []byte
	at   int
}

func (c *cycle) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = c.text[c.at]
		c.at = (c.at + 1) % len(c.text)
	}
	return len(p), nil
}

func BenchmarkMessage(b *testing.B) {
	payload := base64.StdEncoding.EncodeToString(make([]byte, 1024))
	s := loggedIn(b, &cycle{[]byte("<message from='bob@evio.test/1' type='normal'><evio xmlns='urn:evio:1'>" + payload + "</evio></message>"), 0})
	b.ReportAllocs()
	for b.Loop() {
		if err := s.readOne(); err != nil {
			b.Fatal(err)
		}
	}
}
