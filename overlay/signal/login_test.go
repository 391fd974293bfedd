package signal

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func TestLogin(t *testing.T) {
	const exporter = "<sasl-channel-binding xmlns='urn:xmpp:sasl-cb:0'><channel-binding type='tls-exporter'/></sasl-channel-binding>"
	for _, test := range []struct {
		name   string
		direct bool
		offer  string
		want   string
	}{
		{"STARTTLS", false, mechanisms("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"), "SCRAM-SHA-256"},
		{"direct TLS", true, mechanisms("PLAIN", "SCRAM-SHA-1", "SCRAM-SHA-256"), "SCRAM-SHA-256"},
		{"only SHA-1", false, mechanisms("PLAIN", "SCRAM-SHA-1"), "SCRAM-SHA-1"},
		{"channel binding", false, mechanisms("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS") + exporter, "SCRAM-SHA-256-PLUS"},
		{"SHA-1 bound before SHA-256 unbound", false, mechanisms("SCRAM-SHA-256", "SCRAM-SHA-1-PLUS") + exporter, "SCRAM-SHA-1-PLUS"},
		{"channel binding of unknown kind", false, mechanisms("SCRAM-SHA-256", "SCRAM-SHA-256-PLUS"), "SCRAM-SHA-256"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, func(p *peer) {
					cert := testCertificates(t).right
					ok := test.direct && p.tls(&tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"xmpp-client"}}) ||
						!test.direct && p.startTLS(cert)
					if !ok || !p.header(test.offer) {
						t.Error("no TLS")
						return
					}
					name, final, ok := p.scram(testPassword)
					if !ok || name != test.want {
						t.Errorf("chose %s, %v, want %s", name, ok, test.want)
					}
					p.success(final)
					full, _ := p.bind()
					get := p.want("iq")
					if !strings.Contains(get.Inner, "jabber:iq:roster") {
						t.Errorf("got %q, want a roster request", get.Inner)
					}
					p.send("<iq type='result' id='%s' from='%s'><query xmlns='jabber:iq:roster'>%s</query></iq>", get.attr("id"), testJID, testRoster)
					presence := p.want("presence")
					if !strings.Contains(presence.Inner, base64.StdEncoding.EncodeToString([]byte("hello"))) ||
						!strings.Contains(presence.Inner, "<priority>-1</priority>") {
						t.Errorf("presence %q", presence.Inner)
					}
					if !strings.HasPrefix(full, testJID+"/evio-") || len(full) != len(testJID)+len("/evio-")+8 {
						t.Errorf("bound %q", full)
					}
					p.drain()
				})
				s.cfg.DirectTLS = test.direct
				s.start()
				s.expect("up " + testJID)
				s.expect("roster bob@evio.test:both[evio] carol@evio.test:to[]")
				if st := s.client.Status(); !st.Connected || st.Logins != 1 || bareOf(st.JID) != testJID {
					t.Errorf("status %+v", st)
				}
				s.end()
				s.expect("down context canceled")
			})
		})
	}
}

// TestLoginByCertificate shows the account's certificate and takes EXTERNAL.
func TestLoginByCertificate(t *testing.T) {
	for _, test := range []struct {
		name, offer, password string
		want                  string // mechanism, or what the refusal says
	}{
		{"before a password", mechanisms("SCRAM-SHA-256", "EXTERNAL"), testPassword, "EXTERNAL"},
		{"without a password", mechanisms("PLAIN", "EXTERNAL"), "", "EXTERNAL"},
		{"not offered", mechanisms("PLAIN", "SCRAM-SHA-256"), testPassword, "SCRAM-SHA-256"},
		{"not offered, and no password", mechanisms("PLAIN", "SCRAM-SHA-256"), "", "and not EXTERNAL: let it ask clients for certificates"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				certs := testCertificates(t)
				s := newScene(t, func(p *peer) {
					if !p.header(offerStartTLS) {
						return
					}
					p.want("starttls")
					p.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
					if !p.tls(&tls.Config{Certificates: []tls.Certificate{certs.right}, ClientAuth: tls.RequestClientCert}) || !p.header(test.offer) {
						t.Error("no TLS")
						return
					}
					if shown := p.Conn.(*tls.Conn).ConnectionState().PeerCertificates; len(shown) != 1 || !shown[0].Equal(certs.other.Leaf) {
						t.Errorf("showed %v", shown)
					}
					auth, ok := p.read()
					if !ok {
						return
					}
					if got := auth.attr("mechanism"); got != test.want || got == "EXTERNAL" && saslData(auth) != testJID {
						t.Errorf("chose %s %q", got, saslData(auth))
					}
					p.success("")
					if _, ok := p.bind(); test.want == "EXTERNAL" && !ok {
						t.Error("no login")
					}
				})
				s.cfg.Certificate = func() (*tls.Certificate, error) { return &certs.other, nil }
				if s.cfg.Password = nil; test.password != "" {
					s.cfg.Password = func() (string, error) { return test.password, nil }
				}
				s.start()
				synctest.Wait()
				if got := s.client.Status().LastError; len(test.want) > 20 && !strings.Contains(got, test.want) {
					t.Errorf("%q, want %q", got, test.want)
				}
				s.end()
			})
		})
	}
}

func TestLoginByPlain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, func(p *peer) {
			if !p.secureTo("X-UNKNOWN", "PLAIN") {
				t.Error("no TLS")
				return
			}
			if got, want := saslData(p.want("auth")), "\x00alice\x00"+testPassword; got != want {
				t.Errorf("got %q, want %q", got, want)
			}
			p.success("")
			p.bind()
			p.drain()
		})
		s.start()
		synctest.Wait()
		if strings.Contains(s.wire(), base64.StdEncoding.EncodeToString([]byte("\x00alice\x00"+testPassword))) {
			t.Error("the password went over the wire in clear")
		}
		s.end()
	})
}

// TestLoginFails has a server for each way a login can go wrong. No test's server
// may learn the password, and the sentence says what to do.
func TestLoginFails(t *testing.T) {
	certs := testCertificates(t)
	for _, test := range []struct {
		name   string
		script func(t *testing.T, p *peer)
		want   string
	}{
		{"no STARTTLS offered", func(_ *testing.T, p *peer) {
			p.header(mechanisms("PLAIN", "SCRAM-SHA-1"))
			p.drain()
		}, "offers no STARTTLS"},
		{"STARTTLS refused", func(_ *testing.T, p *peer) {
			p.header(offerStartTLS)
			p.want("starttls")
			p.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
			p.drain()
		}, "offers no STARTTLS"},
		{"data before TLS", func(_ *testing.T, p *peer) {
			p.header(offerStartTLS)
			p.want("starttls")
			p.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><message from='mallory@evio.test/x'/>")
			p.drain()
		}, "between its consent to STARTTLS and TLS"},
		{"certificate of an unknown authority", func(t *testing.T, p *peer) {
			if p.startTLS(certs.stranger) {
				t.Error("TLS came up with a stranger's certificate")
			}
		}, "name its file as the service's CA"},
		{"certificate of another domain", func(t *testing.T, p *peer) {
			if p.startTLS(certs.other) {
				t.Error("TLS came up with another domain's certificate")
			}
		}, "needs a certificate for the JID's domain"},
		{"TLS 1.1", func(t *testing.T, p *peer) {
			p.header(offerStartTLS)
			p.want("starttls")
			p.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
			if p.tls(&tls.Config{Certificates: []tls.Certificate{certs.right}, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}) {
				t.Error("TLS 1.1 came up")
			}
		}, "verify the server as evio.test"},
		{"wrong password", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram("another password")
			p.drain()
		}, "refused the login of alice@evio.test: \"not-authorized\": \"go away\": check the account"},
		{"temporary failure", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.want("auth")
			p.failure("temporary-auth-failure")
			p.drain()
		}, "authenticate by SCRAM-SHA-256: \"temporary-auth-failure\""},
		{"no known mechanism", func(_ *testing.T, p *peer) {
			p.secureTo("EXTERNAL", "DIGEST-MD5")
			p.drain()
		}, "none of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN"},
		{"wrong server signature", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram(testPassword)
			p.success("v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
			p.drain()
		}, "did not prove that it knows the password"},
		{"wrong server signature as a challenge", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram(testPassword)
			p.challenge("v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
			p.drain()
		}, "did not prove that it knows the password"},
		{"success without a signature", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram(testPassword)
			p.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>")
			p.drain()
		}, "did not prove that it knows the password"},
		{"success at once", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.want("auth")
			p.success("v=" + base64.StdEncoding.EncodeToString(make([]byte, 32)))
			p.drain()
		}, "authenticate by SCRAM-SHA-256"},
		{"nonce of somebody else", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.want("auth")
			p.challenge("r=another,s=c2FsdA==,i=4096")
			p.drain()
		}, "did not extend client nonce"},
		{"too few iterations", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			_, nonce, _ := strings.Cut(saslData(p.want("auth")), "r=")
			p.challenge("r=" + nonce + "x,s=c2FsdA==,i=1")
			p.drain()
		}, "too few iterations"},
		{"endless iterations", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			_, nonce, _ := strings.Cut(saslData(p.want("auth")), "r=")
			p.challenge("r=" + nonce + "x,s=c2FsdA==,i=2147483647")
			p.drain()
		}, "iterations of the password's hash"},
		{"challenge to PLAIN", func(_ *testing.T, p *peer) {
			p.secureTo("PLAIN")
			p.want("auth")
			p.challenge("more")
			p.drain()
		}, "PLAIN has no challenge"},
		{"something else than SASL", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.want("auth")
			p.send("<message/>")
			p.drain()
		}, "during authentication"},
		{"no binding", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.authenticate()
			p.header("")
			p.drain()
		}, "no resource binding"},
		{"bound as somebody else", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.authenticate()
			p.header("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>")
			p.send("<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>mallory@evio.test/x</jid></bind></iq>", p.want("iq").attr("id"))
			p.drain()
		}, "did not make us alice@evio.test/evio-"},
		{"roster declined", func(_ *testing.T, p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.authenticate()
			p.bind()
			p.send("<iq type='error' id='%s'><error type='cancel'><service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>", p.want("iq").attr("id"))
			p.drain()
		}, "fetch the roster: the server declined: \"service-unavailable\""},
		{"not XMPP", func(_ *testing.T, p *peer) {
			p.send("SSH-2.0-OpenSSH_9.2\r\n")
			p.drainRaw()
		}, "check address and port"},
		{"another protocol in XML", func(_ *testing.T, p *peer) {
			p.send("<html><body/></html>")
			p.drainRaw()
		}, "does not speak XMPP 1.0"},
		{"unknown domain", func(_ *testing.T, p *peer) {
			p.header(offerStartTLS)
			p.want("starttls")
			p.send("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>not here</text></stream:error></stream:stream>")
			p.drain()
		}, "does not serve the JID's domain: check the JID and the server's address (stream error \"host-unknown\": \"not here\")"},
		{"silent from the start", func(_ *testing.T, p *peer) { p.drainRaw() }, "did not complete the login in time"},
		{"silent after TLS", func(_ *testing.T, p *peer) {
			p.startTLS(certs.right)
			p.drainRaw()
		}, "did not complete the login in time"},
		{"closed at once", func(*testing.T, *peer) {}, "closed the connection"},
		{"closed in mid handshake", func(_ *testing.T, p *peer) {
			p.header(offerStartTLS)
			p.want("starttls")
			p.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
		}, "verify the server as evio.test"},
		{"endless features", func(_ *testing.T, p *peer) {
			p.header(strings.Repeat("<xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx/>", 100_000))
			p.drainRaw()
		}, "over 264 KiB"},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newScene(t, func(p *peer) { test.script(t, p) })
				s.start()
				for s.client.Status().LastError == "" {
					<-time.After(time.Second) // virtual
				}
				if got := s.client.Status(); !strings.Contains(got.LastError, test.want) || got.Failures == 0 || got.Connected {
					t.Errorf("status %+v, want %q", got, test.want)
				}
				if strings.Contains(s.wire(), "auth") || strings.Contains(s.wire(), "alice") {
					t.Errorf("told outside of TLS: %q", s.wire())
				}
				if strings.Contains(s.client.Status().LastError, testPassword) {
					t.Error("the password is in the error")
				}
				s.end()
				if len(s.events) > 0 {
					t.Errorf("handler was told %q", <-s.events)
				}
			})
		})
	}
}

// drainRaw reads bytes until the client goes.
func (p *peer) drainRaw() {
	var b [4096]byte
	for {
		if _, err := p.Read(b[:]); err != nil {
			return
		}
	}
}

func TestPasswordIsReadAtEachLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		try := func(p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.scram(testPassword)
			p.drain()
		}
		s := newScene(t, try, serve(func(p *peer, _ string) { p.drain() }))
		passwords := []string{"old", "", testPassword}
		s.cfg.Password = func() (string, error) {
			next := passwords[0]
			passwords = passwords[1:]
			if next == "" {
				return "", errors.New("read password file: no such file")
			}
			return next, nil
		}
		began := time.Now()
		s.start()
		s.expectLogin()
		if took := time.Since(began); took < 30*time.Second || took > 2*time.Minute {
			t.Errorf("logged in after %v, want after a refused login's and a short wait", took)
		}
		if len(s.dialled()) != 2 {
			t.Errorf("%d connections, want 2: none without a password", len(s.dialled()))
		}
		s.end()
	})
}

func TestForgedRosterReply(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, func(p *peer) {
			p.secureTo("SCRAM-SHA-256")
			p.authenticate()
			p.bind()
			id := p.want("iq").attr("id")
			p.send("<iq type='result' id='%s' from='mallory@evio.test/x'><query xmlns='jabber:iq:roster'><item jid='mallory@evio.test' subscription='both'/></query></iq>", id)
			p.send("<iq type='result' id='other'><query xmlns='jabber:iq:roster'><item jid='mallory@evio.test' subscription='both'/></query></iq>")
			p.send("<message from='mallory@evio.test/x'><evio xmlns='urn:evio:1'>eA==</evio></message>")
			p.send("<iq type='get' id='q' from='mallory@evio.test/x'><query xmlns='jabber:iq:version'/></iq>")
			if e := p.want("iq"); e.attr("type") != "error" || !strings.Contains(e.Inner, "service-unavailable") {
				t.Errorf("the request was answered by %+v", e)
			}
			p.send("<iq type='result' id='%s'><query xmlns='jabber:iq:roster'>%s</query></iq>", id, testRoster)
			p.drain()
		})
		s.start()
		s.expect("up")
		s.expect("roster bob@evio.test:both[evio] carol@evio.test:to[]")
		if got := s.client.Status().Ignored; got[ignoredReply] != 2 || got[ignoredEarly] != 2 {
			t.Errorf("ignored %v", got)
		}
		s.end()
	})
}
