package signal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const evioX = "<evio xmlns='urn:evio:1'>eA==</evio>" // payload x

// TestStanzas sends one thing after the other and looks at what is handed up,
// answered and counted.
func TestStanzas(t *testing.T) {
	type step struct {
		name, send string
		event      string // that it causes, or ""
		answer     string // what the server gets: type, id and address; or ""
		ignored    string // the counter that it moves, or ""
	}
	const (
		bob     = "bob@evio.test/1"
		mallory = "mallory@evil.test/1"
	)
	deep := strings.Repeat("<x>", 40) + evioX + strings.Repeat("</x>", 40)
	steps := []step{
		{"message", "<message from='" + bob + "' type='normal'>" + evioX + "<no-store xmlns='urn:xmpp:hints'/></message>", "message " + bob + " x", "", ""},
		{"message of a stranger has his address", "<message from='" + mallory + "'>" + evioX + "</message>", "message " + mallory + " x", "", ""},
		{"chat", "<message from='" + bob + "' type='chat'><body>hello</body></message>", "", "", ignoredMessage},
		{"error", "<message from='" + bob + "' type='error'>" + evioX + "</message>", "", "", ignoredType},
		{"groupchat", "<message from='" + bob + "' type='groupchat'>" + evioX + "</message>", "", "", ignoredType},
		{"message without an address", "<message>" + evioX + "</message>", "", "", ignoredAddress},
		{"message of a bare JID", "<message from='bob@evio.test'>" + evioX + "</message>", "", "", ignoredAddress},
		{"message with a bad address", "<message from='bob@evio.test@x/1'>" + evioX + "</message>", "", "", ignoredAddress},
		{"forged address in a prefix", "<message xmlns:y='urn:y' from='" + mallory + "' y:from='" + bob + "' y:type='error'>" + evioX + "</message>", "message " + mallory + " x", "", ""},
		{"two payloads", "<message from='" + bob + "'>" + evioX + evioX + "</message>", "", "", ignoredPayload},
		{"forwarded payload", "<message from='" + mallory + "'><forwarded xmlns='urn:xmpp:forward:0'><message xmlns='jabber:client' from='" + bob + "'>" + evioX + "</message></forwarded></message>", "", "", ignoredMessage},
		{"payload in the depth", "<message from='" + mallory + "'>" + deep + "</message>", "", "", ignoredMessage},
		{"payload of another name space", "<message from='" + bob + "'><evio xmlns='urn:evio:2'>eA==</evio></message>", "", "", ignoredMessage},
		{"payload not in base64", "<message from='" + bob + "'><evio xmlns='urn:evio:1'>&lt;&gt;</evio></message>", "", "", ignoredPayload},
		{"payload too large", "<message from='" + bob + "'><evio xmlns='urn:evio:1'>" + base64.StdEncoding.EncodeToString(make([]byte, MaxPayload+1)) + "</evio></message>", "", "", ignoredPayload},
		{"white space", " \n\t\r <message from='" + bob + "'><evio xmlns='urn:evio:1'>\n eA== \n</evio></message>", "message " + bob + " x", "", ""},

		{"presence", "<presence from='" + bob + "'>" + evioX + "</presence>", "presence " + bob + ` true "x" false`, "", ""},
		{"empty extension", "<presence from='" + bob + "'><evio xmlns='urn:evio:1'/></presence>", "presence " + bob + ` true "" false`, "", ""},
		{"presence of another client", "<presence from='" + bob + "'><show>away</show></presence>", "presence " + bob + ` true "" true`, "", ""},
		{"bad extension", "<presence from='" + bob + "'>" + evioX + evioX + "</presence>", "presence " + bob + ` true "" true`, "", ignoredPayload},
		{"gone", "<presence from='" + bob + "' type='unavailable'/>", "presence " + bob + ` false "" true`, "", ""},
		{"presence of an account", "<presence from='bob@evio.test' type='unavailable'/>", "", "", ignoredAddress},
		{"presence error", "<presence from='" + bob + "' type='error'/>", "", "", ignoredPresence},
		{"subscription of a contact", "<presence from='carol@evio.test' type='subscribe'/>", "", "subscribed  carol@evio.test", ""},
		{"subscription of a stranger", "<presence from='mallory@evil.test' type='subscribe'/>", "", "", ignoredSubscribe},

		{"ping of the server", "<iq type='get' id='1' from='evio.test'><ping xmlns='urn:xmpp:ping'/></iq>", "", "result 1 evio.test", ""},
		{"ping of our account", "<iq type='get' id='2'><ping xmlns='urn:xmpp:ping'/></iq>", "", "result 2", ""},
		{"ping of a contact", "<iq type='get' id='3' from='" + bob + "'><ping xmlns='urn:xmpp:ping'/></iq>", "", "result 3 " + bob, ""},
		{"ping of a stranger", "<iq type='get' id='4' from='" + mallory + "'><ping xmlns='urn:xmpp:ping'/></iq>", "", "error 4 " + mallory, ignoredRequest},
		{"unknown request", "<iq type='get' id='5' from='" + bob + "'><query xmlns='jabber:iq:version'/></iq>", "", "error 5 " + bob, ignoredRequest},
		{"unknown order", "<iq type='set' id='6' from='" + bob + "'><command xmlns='urn:x'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></command></iq>", "", "error 6 " + bob, ignoredRequest},
		{"unasked reply", "<iq type='result' id='7' from='evio.test'/>", "", "", ignoredReply},

		{"roster push", "<iq type='set' id='8'><query xmlns='jabber:iq:roster'><item jid='dave@evio.test' subscription='from'><group>a</group><group>b</group></item></query></iq>",
			"roster bob@evio.test:both[evio] carol@evio.test:to[] dave@evio.test:from[a b]", "result 8", ""},
		{"roster push of our account", "<iq type='set' id='9' from='" + testJID + "'><query xmlns='jabber:iq:roster'><item jid='bob@evio.test' subscription='remove'/></query></iq>",
			"roster carol@evio.test:to[] dave@evio.test:from[a b]", "result 9 " + testJID, ""},
		{"roster push of a stranger", "<iq type='set' id='10' from='" + mallory + "'><query xmlns='jabber:iq:roster'><item jid='mallory@evil.test' subscription='both'/></query></iq>",
			"", "error 10 " + mallory, ignoredPush},
		{"roster push of another resource", "<iq type='set' id='11' from='" + testJID + "/phone'><query xmlns='jabber:iq:roster'><item jid='mallory@evil.test' subscription='both'/></query></iq>",
			"", "error 11 " + testJID + "/phone", ignoredPush},
		{"roster push of the domain", "<iq type='set' id='12' from='evio.test'><query xmlns='jabber:iq:roster'><item jid='mallory@evil.test' subscription='both'/></query></iq>",
			"", "error 12 evio.test", ignoredPush},
		{"roster push of nobody", "<iq type='set' id='13'><query xmlns='jabber:iq:roster'/></iq>", "", "error 13", ignoredPush},
		{"roster push of a bad address", "<iq type='set' id='14'><query xmlns='jabber:iq:roster'><item jid='a@b@c'/></query></iq>", "", "error 14", ignoredPush},
		{"roster push of who had asked", "<iq type='set' id='15'><query xmlns='jabber:iq:roster'><item jid='mallory@evil.test'/></query></iq>",
			"roster carol@evio.test:to[] dave@evio.test:from[a b] mallory@evil.test:none[]", "subscribed  mallory@evil.test", ""},
		{"unknown element", "<r xmlns='urn:xmpp:sm:3'/>", "", "", ignoredElement},
	}
	synctest.Test(t, func(t *testing.T) {
		done := make(chan struct{})
		var s *scene
		s = newScene(t, serve(func(p *peer, _ string) {
			defer close(done)
			s.expectLogin()
			for _, step := range steps {
				before := s.client.Status().Ignored
				p.send("%s<iq type='get' id='mark'><ping xmlns='urn:xmpp:ping'/></iq>", step.send)
				var answer string
				for {
					e, ok := p.read()
					if !ok {
						t.Errorf("%s: the client closed the connection", step.name)
						return
					}
					if e.attr("id") == "mark" {
						break
					}
					answer = strings.TrimSpace(e.attr("type") + " " + e.attr("id") + " " + e.attr("to"))
					if e.attr("type") == "error" && !strings.Contains(e.Inner, "xmlns=\"urn:ietf:params:xml:ns:xmpp-stanzas\"") {
						t.Errorf("%s: answered %q", step.name, e.Inner)
					}
				}
				if answer != step.answer {
					t.Errorf("%s: answered %q, want %q", step.name, answer, step.answer)
				}
				var event string
				if len(s.events) > 0 {
					event = <-s.events
				}
				if event != step.event || len(s.events) > 0 {
					t.Errorf("%s: event %q and %d more, want %q", step.name, event, len(s.events), step.event)
				}
				after := s.client.Status().Ignored
				for cause, n := range after {
					if n != before[cause] && cause != step.ignored {
						t.Errorf("%s: counted as %s", step.name, cause)
					}
				}
				if step.ignored != "" && after[step.ignored] != before[step.ignored]+1 {
					t.Errorf("%s: not counted as %s", step.name, step.ignored)
				}
			}
		}))
		s.start()
		<-done
		s.end()
	})
}

// TestFatal has what ends a connection. None of it may cost more memory than a
// stanza may have, and the next connection comes up.
func TestFatal(t *testing.T) {
	text := func(b string) func(*peer) { return func(p *peer) { p.send("%s", b) } }
	for _, test := range []struct {
		name string
		send func(*peer)
		want string
	}{
		{"20 MB of text", text("<message from='bob@evio.test/1'><body>" + strings.Repeat("x", 20<<20) + "</body></message>"), "over 16 MiB"},
		{"comment in a stanza that is skipped", text("<message>" + strings.Repeat("<x>", 100) + "<!-- y -->"), "XMPP forbids"},
		{"end of the connection in a stanza that is skipped", text("<message>" + strings.Repeat("<x>", 100)), "the server closed the connection"},
		{"attribute twice", text("<message from='bob@evio.test/1' from='carol@evio.test/1'>" + evioX + "</message>"), "given twice"},
		{"comment", text("<!-- x -->"), "XMPP forbids"},
		{"comment in a stanza", text("<message><!-- x --></message>"), "XMPP forbids"},
		{"document type", text("<!DOCTYPE x [<!ENTITY a 'b'>]>"), "XMPP forbids"},
		{"processing instruction", text("<?php echo 1 ?>"), "XMPP forbids"},
		{"XML declaration in mid stream", text("<?xml version='1.0'?>"), "XMPP forbids"},
		{"entity", text("<message><body>&a;</body></message>"), "broken XML"},
		{"text between stanzas", text("hello"), "text between stanzas"},
		{"CDATA between stanzas", text("<![CDATA[hello]]>"), "text between stanzas"},
		{"wrong end tag", text("<message></presence>"), "broken XML"},
		{"not UTF-8", text("<message><body>\xff</body></message>"), "broken XML"},
		{"end of the connection in mid stanza", text("<message from='bob@evio.test/1'><body>"), "the server closed the connection"},
		{"end of the connection in mid tag", text("<message from='bob@evio.te"), "the server closed the connection"},
		{"end of the connection", text(""), "the server closed the connection"},
		{"end of the stream", text("</stream:stream>"), "the server ended the stream"},
		{"conflict", text("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>Replaced by new connection</text></stream:error></stream:stream>"),
			"each engine needs an account of its own (stream error \"conflict\": \"Replaced by new connection\")"},
		{"shutdown", text("<stream:error><system-shutdown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>"), "the server shuts down"},
		{"stream error without a reason", text("<stream:error/>"), "no reason given"},
		{"long stream error", text("<stream:error><x xmlns='urn:x'/><text>" + strings.Repeat("y", 100_000) + "</text></stream:error>"), "…"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t,
					serve(func(p *peer, _ string) { test.send(p) }),
					serve(func(p *peer, _ string) { p.drain() }))
				s.start()
				s.expectLogin()
				if got := s.expect("down"); !strings.Contains(got, test.want) || len(got) > 1000 {
					t.Errorf("%q, want %q", got, test.want)
				}
				s.expectLogin()
				s.end()
			})
		})
	}
}

// TestOversizeIsSkipped sends what is over a limit, and then a message that must come
// through on the same connection.
func TestOversizeIsSkipped(t *testing.T) {
	large := strings.Repeat("x", maxStanza+1)
	for _, test := range []struct{ name, send string }{
		{"10 MB of text", "<message from='bob@evio.test/1'><body>" + strings.Repeat("x", 10<<20) + "</body>" + evioX + "</message>"},
		{"too much in an attribute", "<message from='" + large + "'/>"},
		{"too much in a name", "<" + large + "/>"},
		{"too much of children", "<message>" + strings.Repeat("<x></x            >", 15<<10) + "</message>"},
		{"too much in an end tag", "<message></message" + strings.Repeat(" ", maxStanza) + ">"},
		{"too much of CDATA", "<message><![CDATA[" + large + "</message><message from='bob@evio.test/2'>" + evioX + "</message>]]]></message>"},
		{"too much with quotes", `<message a='">' b="'/>"><x c="` + large + `/message>'"/>` + "</message>"},
		{"depth", "<message>" + strings.Repeat("<x>", 100) + evioX + strings.Repeat("</x>", 100) + "</message>"},
		{"elements", "<message>" + strings.Repeat("<x/>", 20_000) + "</message>"},
		{"attributes", "<message" + manyAttributes(70) + "/>"},
		{"attributes in the depth", "<message><x><y" + manyAttributes(70) + "></y></x></message>"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, serve(func(p *peer, _ string) {
					for range 2 {
						p.send("%s", test.send)
						p.send("<message from='bob@evio.test/1'>" + evioX + "</message>")
					}
					p.drain()
				}))
				s.start()
				s.expectLogin()
				for range 2 {
					s.expect("message bob@evio.test/1 x")
				}
				if got := s.client.Status().Ignored; got[ignoredExcess] != 2 || len(got) != 1 {
					t.Errorf("counted %v", got)
				}
				s.end()
			})
		})
	}
}

func manyAttributes(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, " a%d=''", i)
	}
	return b.String()
}

func TestSilentServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serve(func(p *peer, _ string) {
			ping := p.want("iq")
			if ping.attr("to") != testDomain || !strings.Contains(ping.Inner, nsPing) {
				t.Errorf("got %+v, want a ping", ping)
			}
			p.send("<iq type='result' id='%s' from='%s'/>", ping.attr("id"), testDomain)
			p.want("iq")
			p.drain()
		}))
		s.start()
		s.expectLogin()
		began := time.Now()
		if got := s.expect("down"); !strings.Contains(got, "has not answered a ping") {
			t.Errorf("got %q", got)
		}
		if took := time.Since(began); took != 70*time.Second {
			t.Errorf("noticed after %v, want 30 s + 30 s + 10 s", took)
		}
		if got := s.client.Status().Ignored; len(got) > 0 {
			t.Errorf("ignored %v", got)
		}
		s.end()
	})
}

func TestWhiteSpaceKeepsAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serve(func(p *peer, _ string) {
			for range 1000 {
				<-time.After(20 * time.Second)
				p.send(" ")
			}
			p.send("<message from='bob@evio.test/1'>" + evioX + "</message>")
			p.drain()
		}))
		s.start()
		s.expectLogin()
		began := time.Now()
		for len(s.events) == 0 && time.Since(began) < 10*time.Hour {
			<-time.After(time.Second)
		}
		s.expect("message bob@evio.test/1 x")
		s.end()
	})
}

func TestSend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		payload := bytes.Repeat([]byte{0, 1, 2, 255}, MaxPayload/4)
		got := make(chan sent, 8)
		s := newScene(t, serve(func(p *peer, _ string) {
			for {
				e, ok := p.read()
				if !ok {
					return
				}
				got <- e
			}
		}))
		s.start()
		if err := s.client.Send(t.Context(), "bob@evio.test/1", nil); !errors.Is(err, ErrNotConnected) {
			t.Errorf("before the login: %v", err)
		}
		s.expectLogin()
		if err := s.client.Send(t.Context(), "bob@evio.test/a'<>&\"", payload); err != nil {
			t.Fatal(err)
		}
		e := <-got
		if e.XMLName.Local != "message" || e.attr("to") != "bob@evio.test/a'<>&\"" || e.attr("type") != "normal" ||
			!strings.Contains(e.Inner, base64.StdEncoding.EncodeToString(payload)) ||
			!strings.Contains(e.Inner, `<no-store xmlns="urn:xmpp:hints">`) {
			t.Errorf("sent %+v", e)
		}
		if err := s.client.Send(t.Context(), "bob@evio.test/1", make([]byte, MaxPayload+1)); !errors.Is(err, ErrTooLarge) {
			t.Errorf("too large: %v", err)
		}
		if err := s.client.Send(t.Context(), "bob@evio.test", nil); err == nil {
			t.Error("a bare JID was accepted")
		}
		canceled, cancel := context.WithCancel(t.Context())
		cancel()
		_ = s.client.Send(canceled, "bob@evio.test/1", nil) // may or may not have gone out, but returns

		s.client.SetExtension([]byte("changed"))
		for e = range got {
			if e.XMLName.Local == "presence" {
				break
			}
		}
		if !strings.Contains(e.Inner, base64.StdEncoding.EncodeToString([]byte("changed"))) {
			t.Errorf("announced %q", e.Inner)
		}
		s.client.SetExtension(make([]byte, MaxPayload+1))
		synctest.Wait()
		if len(got) > 0 {
			t.Errorf("announced %+v", <-got)
		}
		if n := s.client.Status().Sent; n != 1 && n != 2 {
			t.Errorf("counted %d messages", n)
		}
		s.end()
		for e = range got {
			if e.XMLName.Local == "presence" {
				break
			}
		}
		if e.attr("type") != "unavailable" {
			t.Errorf("left by %+v", e)
		}
		if err := s.client.Send(t.Context(), "bob@evio.test/1", nil); !errors.Is(err, ErrNotConnected) {
			t.Errorf("after the end: %v", err)
		}
	})
}

// sender sends from within its callbacks.
type sender struct{ *scene }

func (s sender) Up(full string) {
	if err := s.client.Send(context.Background(), "bob@evio.test/1", []byte("from Up")); err != nil {
		s.t.Errorf("send in Up: %v", err)
	}
	s.scene.Up(full)
}

func TestSendInUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, serve(func(p *peer, _ string) {
			p.want("message")
			p.drain()
		}))
		var err error
		if s.client, err = New(s.cfg, sender{s}); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		s.stop, s.run = cancel, make(chan error, 1)
		go func() { s.run <- s.client.Run(ctx) }()
		s.expectLogin()
		if err := s.client.Run(ctx); !errors.Is(err, errRunsAlready) {
			t.Errorf("a second Run: %v", err)
		}
		s.end()
	})
}

// TestStuckServer reads nothing: Send gives up, and so does the connection.
func TestStuckServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newScene(t, serve(func(*peer, string) { <-release }))
		s.start()
		s.expectLogin()
		began := time.Now()
		var err error
		for err == nil {
			err = s.client.Send(t.Context(), "bob@evio.test/1", make([]byte, MaxPayload))
		}
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("got %v, want a time-out", err)
		}
		if took := time.Since(began); took != writeTimeout {
			t.Errorf("gave up after %v", took)
		}
		s.expect("down write to the server")
		close(release)
		s.end()
	})
}

// TestFlood asks for more answers than a stuck server takes: they are dropped.
func TestFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := newScene(t, serve(func(p *peer, _ string) {
			id := strings.Repeat("x", 4096)
			for range 400 {
				p.send("<iq type='get' id='%s'><ping xmlns='urn:xmpp:ping'/></iq>", id)
			}
			<-release
		}))
		s.start()
		s.expectLogin()
		synctest.Wait()
		if n := s.client.Status().Ignored[ignoredBacklog]; n < 200 {
			t.Errorf("%d answers dropped", n)
		}
		s.expect("down")
		close(release)
		s.end()
	})
}
