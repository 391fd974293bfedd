//go:build e2e

package testbed

import (
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"
)

func testXMPP(t *testing.T, lab *Lab) {
	ctx := within(t, 2*time.Minute)
	x := lab.Internet().XMPP
	site := lab.Site("a")

	t.Run("STARTTLS", func(t *testing.T) {
		conn := dial(ctx, t, site, xmppAddr+":5222")
		c := newClient(conn)
		check(t, c.open())
		features := must(c.next("features"))(t)
		if !strings.Contains(features, "<starttls") || !strings.Contains(features, "<required") || strings.Contains(features, "<mechanism>") {
			t.Errorf("features before TLS: %s", features)
		}
		check(t, c.send("<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"))
		must(c.next("proceed"))(t)
		c = newClient(tls.Client(conn, &tls.Config{ServerName: XMPPDomain, RootCAs: x.Roots()}))
		check(t, c.open())
		features = must(c.next("features"))(t)
		if !strings.Contains(features, "<mechanism>SCRAM-SHA-256</mechanism>") {
			t.Errorf("features after TLS: %s", features)
		}
	})
	t.Run("direct TLS", func(t *testing.T) {
		conn := dial(ctx, t, site, xmppAddr+":5223")
		check(t, tls.Client(conn, &tls.Config{ServerName: XMPPDomain, RootCAs: x.Roots()}).HandshakeContext(ctx))
	})
	t.Run("another CA", func(t *testing.T) {
		other := must(newAuthority())(t)
		conn := dial(ctx, t, site, xmppAddr+":5223")
		pool := (&XMPP{ca: other}).Roots()
		err := tls.Client(conn, &tls.Config{ServerName: XMPPDomain, RootCAs: pool}).HandshakeContext(ctx)
		if _, ok := errors.AsType[*tls.CertificateVerificationError](err); !ok {
			t.Errorf("handshake with another CA: %v", err)
		}
	})
	t.Run("group", func(t *testing.T) { testGroup(t, lab) })
	t.Run("rooms", func(t *testing.T) { testRooms(t, lab) })
	t.Run("outages", func(t *testing.T) { testOutages(t, lab) })
}

// TestEjabberd: the other kind of server does the same.
func TestEjabberd(t *testing.T) {
	lab := StartSites(t, Options{XMPP: Ejabberd}, SiteConfig{Name: "a"}, SiteConfig{Name: "b"}, SiteConfig{Name: "c"})
	testXMPP(t, lab)
}

func dial(ctx context.Context, t *testing.T, from *Site, addr string) net.Conn {
	t.Helper()
	conn := must(from.Dial(ctx, "tcp", addr))(t)
	t.Cleanup(func() { check(t, conn.Close()) })
	return conn
}

func testGroup(t *testing.T, lab *Lab) {
	ctx := within(t, time.Minute)
	x := lab.Internet().XMPP
	var accounts []Account
	for _, name := range []string{"ann", "bob", "eve"} {
		accounts = append(accounts, must(x.AddAccount(ctx, name, "secret-of-"+name))(t))
	}
	ann, bob, eve := accounts[0], accounts[1], accounts[2]
	check(t, x.SetGroup(ctx, ann, bob))

	logged := func(site string, account Account) *client {
		c := must(login(ctx, x, lab.Site(site), account))(t)
		t.Cleanup(func() { check(t, c.conn.Close()) })
		return c
	}
	a := logged("a", ann)
	if items := must(a.roster())(t); !slices.Equal(items, []string{bob.JID + " both " + Group}) {
		t.Errorf("roster of ann: %v", items)
	}
	b := logged("b", bob)
	must(b.roster())(t) // who has not asked for it gets no pushes
	must(a.until("presence", bob.JID))(t)
	e := logged("c", eve)
	if items := must(e.roster())(t); len(items) != 0 {
		t.Errorf("roster of a stranger: %v", items)
	}

	// A change reaches those who are connected.
	check(t, x.SetGroup(ctx, ann, bob, eve))
	must(a.until("iq", eve.JID, "both"))(t)
	must(a.until("presence", eve.JID))(t)
	must(e.until("iq", ann.JID, "both"))(t)
	check(t, x.SetGroup(ctx, ann, eve))
	must(a.until("iq", bob.JID, "remove"))(t)
	if x.Kind() == Prosody { // ejabberd leaves it at the push
		must(a.until("presence", bob.JID, "unavailable"))(t)
	}
	must(b.until("iq", ann.JID, "remove"))(t)

	wrong := eve
	wrong.Password = "guessed"
	if _, err := login(ctx, x, lab.Site("c"), wrong); err == nil {
		t.Error("a wrong password is accepted")
	}
	check(t, x.DeleteAccount(ctx, eve))
	if _, err := login(ctx, x, lab.Site("c"), eve); err == nil {
		t.Error("a deleted account is accepted")
	}
}

func testRooms(t *testing.T, lab *Lab) {
	ctx := within(t, time.Minute)
	x := lab.Internet().XMPP
	clients := map[string]*client{}
	accounts := map[string]Account{}
	for i, name := range []string{"rose", "sam", "tom"} {
		a := must(x.AddAccount(ctx, name, "secret-of-"+name))(t)
		c := must(login(ctx, x, lab.Sites()[i], a))(t)
		t.Cleanup(func() { check(t, c.conn.Close()) })
		clients[name], accounts[name] = c, a
	}
	rose, sam, tom := clients["rose"], clients["sam"], clients["tom"]
	room := must(x.CreateRoom(ctx, "hall", accounts["rose"], accounts["sam"]))(t)
	enter := func(c *client, nick string) {
		check(t, c.send("<presence to='"+room+"/"+nick+"'><x xmlns='http://jabber.org/protocol/muc'/></presence>"))
	}
	const self = "code='110'"
	enter(rose, "rose")
	must(rose.until("presence", "rose", self))(t)
	enter(sam, "sam")
	// Who is in the room sees real JIDs.
	must(sam.until("presence", room+"/rose", accounts["rose"].JID))(t)
	must(rose.until("presence", room+"/sam", accounts["sam"].JID))(t)
	enter(tom, "tom")
	must(tom.until("presence", "error", "registration-required"))(t)

	check(t, x.SetRoomMembers(ctx, "hall", accounts["rose"], accounts["tom"]))
	must(sam.until("presence", room+"/sam", "unavailable"))(t)
	must(rose.until("presence", room+"/sam", "unavailable"))(t)
	enter(tom, "tom")
	must(rose.until("presence", room+"/tom", accounts["tom"].JID))(t)
	enter(sam, "sam")
	must(sam.until("presence", "error", "registration-required"))(t)
}

func testOutages(t *testing.T, lab *Lab) {
	ctx := within(t, time.Minute)
	x, site := lab.Internet().XMPP, lab.Site("b")
	account := must(x.AddAccount(ctx, "bob", "another"))(t)
	answers := func() error {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		c, err := login(ctx, x, site, account)
		if err != nil {
			return err
		}
		return c.conn.Close()
	}
	check(t, answers())
	for _, outage := range []struct {
		name     string
		from, to func(context.Context) error
	}{
		{"frozen", x.Freeze, x.Thaw},
		{"stopped", x.Stop, x.Start}, // also after it was frozen
		{"blackholed", x.Blackhole, x.Restore},
	} {
		check(t, outage.from(ctx))
		if answers() == nil {
			t.Errorf("%s, and it answers", outage.name)
		}
		check(t, outage.to(ctx))
		if err := answers(); err != nil {
			t.Errorf("after being %s: %v", outage.name, err)
		}
	}
}

// client is just enough of an XMPP client to look at the server.
type client struct {
	conn    net.Conn
	decoder *xml.Decoder
	read    *strings.Builder
}

func newClient(conn net.Conn) *client {
	c := &client{conn: conn, read: &strings.Builder{}}
	c.decoder = xml.NewDecoder(io.TeeReader(conn, c.read))
	return c
}

func (c *client) send(text string) error {
	_, err := io.WriteString(c.conn, text)
	return err
}

func (c *client) open() error {
	return c.send("<stream:stream to='" + XMPPDomain + "' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>")
}

// next reads one element, skipping the stream's head, and wants it to have that name.
func (c *client) next(name string) (string, error) {
	for {
		token, err := c.decoder.Token()
		if err != nil {
			return "", err
		}
		start, ok := token.(xml.StartElement)
		if !ok || start.Name.Local == "stream" {
			continue
		}
		text, err := c.element(start)
		if err == nil && start.Name.Local != name {
			err = fmt.Errorf("got %s, want <%s>", text, name)
		}
		return text, err
	}
}

// element is the text of an element whose start has been read.
func (c *client) element(start xml.StartElement) (string, error) {
	var inner struct {
		Inner string `xml:",innerxml"`
	}
	if err := c.decoder.DecodeElement(&inner, &start); err != nil {
		return "", err
	}
	text := "<" + start.Name.Local
	for _, a := range start.Attr {
		text += " " + a.Name.Local + "='" + a.Value + "'"
	}
	return text + ">" + inner.Inner, nil
}

// until skips elements until one of that name has all the words.
func (c *client) until(name string, words ...string) (string, error) {
	for {
		text, err := c.next(name)
		if text == "" {
			return "", fmt.Errorf("wait for <%s> with %q: %w", name, words, err)
		}
		text = strings.ReplaceAll(text, `"`, "'")
		if err == nil && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) }) {
			return text, nil
		}
	}
}

func (c *client) roster() ([]string, error) {
	if err := c.send("<iq type='get' id='roster'><query xmlns='jabber:iq:roster'/></iq>"); err != nil {
		return nil, err
	}
	text, err := c.until("iq", "id='roster'")
	if err != nil {
		return nil, err
	}
	var query struct {
		Item []struct {
			JID          string `xml:"jid,attr"`
			Subscription string `xml:"subscription,attr"`
			Group        string `xml:"group"`
		} `xml:"item"`
	}
	if err := xml.Unmarshal([]byte(text[strings.Index(text, ">")+1:]), &query); err != nil {
		return nil, err
	}
	var items []string
	for _, i := range query.Item {
		items = append(items, i.JID+" "+i.Subscription+" "+i.Group)
	}
	return items, nil
}

// login connects with TLS at once and becomes available.
func login(ctx context.Context, x *XMPP, from *Site, a Account) (_ *client, err error) {
	raw, err := from.Dial(ctx, "tcp", xmppAddr+":5223")
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	defer func() {
		if err != nil {
			err = errors.Join(err, raw.Close())
		}
	}()
	if err := raw.SetDeadline(deadline); err != nil {
		return nil, err
	}
	conn := tls.Client(raw, &tls.Config{ServerName: XMPPDomain, RootCAs: x.Roots()})
	c := newClient(conn)
	user, _, _ := strings.Cut(a.JID, "@")
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + user + "\x00" + a.Password))
	if err := c.open(); err != nil {
		return nil, err
	}
	if _, err := c.next("features"); err != nil {
		return nil, err
	}
	if err := c.send("<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>" + plain + "</auth>"); err != nil {
		return nil, err
	}
	if _, err := c.next("success"); err != nil {
		return nil, err
	}
	c = newClient(conn)
	if err := c.open(); err != nil {
		return nil, err
	}
	if _, err := c.next("features"); err != nil {
		return nil, err
	}
	if err := c.send("<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"); err != nil {
		return nil, err
	}
	if _, err := c.until("iq", "id='bind'"); err != nil {
		return nil, err
	}
	return c, c.send("<presence/>")
}
