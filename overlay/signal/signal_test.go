package signal

import (
	"io"
	"strings"
	"testing"

	"github.com/sirupsen/logrus"
)

func TestNew(t *testing.T) {
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	good := Config{JID: testJID, Password: func() (string, error) { return "", nil }, Log: logrus.NewEntry(logger)}
	with := func(change func(*Config)) Config {
		c := good
		change(&c)
		return c
	}
	for _, test := range []struct {
		name string
		cfg  Config
		addr string
		err  []string // parts of the error
	}{
		{"defaults", good, "evio.test:5222", nil},
		{"direct TLS", with(func(c *Config) { c.DirectTLS = true }), "evio.test:5223", nil},
		{"host", with(func(c *Config) { c.Server = "xmpp.test" }), "xmpp.test:5222", nil},
		{"host and port", with(func(c *Config) { c.Server = "xmpp.test:443" }), "xmpp.test:443", nil},
		{"port", with(func(c *Config) { c.Server = ":443" }), "evio.test:443", nil},
		{"address", with(func(c *Config) { c.Server = "192.0.2.1" }), "192.0.2.1:5222", nil},
		{"IPv6", with(func(c *Config) { c.Server = "[2001:db8::1]" }), "[2001:db8::1]:5222", nil},
		{"IPv6 and port", with(func(c *Config) { c.Server = "[2001:db8::1]:443" }), "[2001:db8::1]:443", nil},
		{"international domain", with(func(c *Config) { c.JID = "a@bücher.test" }), "xn--bcher-kva.test:5222", nil},
		{"bare IPv6", with(func(c *Config) { c.Server = "2001:db8::1" }), "", []string{"write host, host:port or [IPv6]:port"}},
		{"bad port", with(func(c *Config) { c.Server = "xmpp.test:99999" }), "", []string{"is not 1 to 65535"}},
		{"no JID", with(func(c *Config) { c.JID = "" }), "", []string{"JID"}},
		{"full JID", with(func(c *Config) { c.JID += "/x" }), "", []string{"without a resource"}},
		{"domain", with(func(c *Config) { c.JID = "evio.test" }), "", []string{"write user@domain"}},
		{"domain of spaces", with(func(c *Config) { c.JID = "a@b c" }), "", []string{"JID"}},
		{"domain of nothing", with(func(c *Config) { c.JID = "a@b..c" }), "", []string{"not a host name"}},
		{"long JID", with(func(c *Config) { c.JID = strings.Repeat("a", 1024) + "@b" }), "", []string{"over 1023"}},
		{"all at once", Config{JID: "x", Server: "a:b:c", Extension: make([]byte, MaxPayload+1)}, "",
			[]string{"write user@domain", "write host", "password", "over 8192 bytes", "logger"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			c, err := New(test.cfg, quietHandler{t})
			if len(test.err) == 0 {
				if err != nil || c.account.server.String() != test.addr {
					t.Fatalf("got %+v, %v, want %s", c, err, test.addr)
				}
				return
			}
			if err == nil {
				t.Fatal("accepted")
			}
			for _, part := range test.err {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("%v, want %q", err, part)
				}
			}
		})
	}
}
