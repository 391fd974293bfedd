package signal

import (
	"fmt"
	"slices"
	"strings"
)

// SASL says by which mechanisms an account logs in. Whatever it is, the strongest one goes
// first that both ends have.
type SASL uint8

const (
	// BestSASL takes none that is weaker than the best that the server has offered before: who
	// stands between, with a certificate that verifies, could ask for the password itself.
	BestSASL SASL = iota
	// ScramSASL takes none that is weaker, and never PLAIN.
	ScramSASL
	// AnySASL takes whatever the server offers.
	AnySASL
)

// Offer is the best that a server has offered to an account.
type Offer struct {
	Password    string // mechanism that takes a password, or ""
	Certificate bool   // EXTERNAL
}

// Offers keeps the best offer of an account's server. Its methods are called by one
// goroutine at a time.
type Offers interface {
	// Best returns what was kept last, the zero Offer if nothing was. An error names the file.
	Best() (Offer, error)
	Keep(o Offer) error
}

// byStrength are the mechanisms that take a password, the weakest first.
var byStrength = []string{plain, "SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-256-PLUS"}

const (
	plain    = "PLAIN"
	external = "EXTERNAL" // XEP-0178
)

func strength(name string) int { return slices.Index(byStrength, name) }

// weakOffer is why a server does not get a login that it may have meant to get. Nothing of
// the account was sent to it.
type weakOffer struct{ account, offers, why, advice string }

func (e *weakOffer) Error() string {
	return fmt.Sprintf("the server of %s offers %s at best, %s, so nothing was sent to it: %s", e.account, e.offers, e.why, e.advice)
}

// permit returns an error if an account must not log in by a mechanism, though the server
// offers none that is stronger. unread is why it is not known what was offered before.
func (p SASL) permit(name string, with credentials, before Offer, unread error) error {
	const (
		scram = "let it offer SCRAM"
		again = "find out whether somebody stands between, let it offer that again, or, if its operator has meant to take it away, set \"sasl\": \"any\" for the account"
	)
	switch {
	case name == plain && p == ScramSASL:
		return &weakOffer{with.jid, name, "which gives it the password itself, and \"sasl\" is \"scram\"", scram}
	case p == AnySASL:
		return nil
	case name == plain && unread != nil:
		return &weakOffer{with.jid, name, fmt.Sprintf("which gives it the password itself, and what it offered before cannot be read (%v)", unread), scram + ", or set \"sasl\": \"any\" for the account"}
	case name != external && with.certificate != nil && before.Certificate:
		return &weakOffer{with.jid, name, "and has taken the certificate before (EXTERNAL)", again}
	case name != external && strength(name) < strength(before.Password):
		return &weakOffer{with.jid, name, "and has offered " + before.Password + " before", again}
	}
	return nil
}

// with returns the better of two offers.
func (o Offer) with(other Offer) Offer {
	if strength(other.Password) > strength(o.Password) {
		o.Password = other.Password
	}
	o.Certificate = o.Certificate || other.Certificate
	return o
}

// before returns the best that the server has offered so far.
func (c *Client) before() (Offer, error) {
	if c.cfg.Offers == nil {
		return c.offered, nil
	}
	o, err := c.cfg.Offers.Best()
	return o.with(c.offered), err
}

// remember keeps what the server offered to a login that succeeded. An operator who takes
// any offer makes the last one the best. Otherwise nothing replaces what cannot be read,
// which may have been better.
func (c *Client) remember(now, before Offer, unread error) {
	best := before.with(now)
	if c.cfg.SASL == AnySASL {
		best = now
	}
	c.offered = best
	if c.cfg.Offers == nil || best == before && unread == nil && c.unread == nil && c.unkept == nil {
		return
	}
	if unread != nil && c.cfg.SASL != AnySASL {
		c.log.WithError(unread).Error("what the XMPP server has offered before cannot be read: it may offer less now")
		c.mu.Lock()
		c.unread = unread
		c.mu.Unlock()
		return
	}
	err := c.cfg.Offers.Keep(best)
	c.mu.Lock()
	c.unread, c.unkept = nil, err
	c.mu.Unlock()
	if err != nil {
		c.log.WithError(err).Error("what the XMPP server offers is not on disk: after a restart it may offer less")
	}
}

// Faults says, a sentence each, what is wrong with the offers of the server.
func (c *Client) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var faults []string
	if c.weak != nil {
		faults = append(faults, c.weak.Error())
	}
	if c.unread != nil {
		faults = append(faults, fmt.Sprintf("what the server of %s has offered before to log in cannot be read, so it may offer less now, and nothing new is kept: mend that, or remove the file, so that the next login counts as the first, and disable and enable the plugin: %v", c.account.bare(), c.unread))
	}
	if c.unkept != nil {
		faults = append(faults, fmt.Sprintf("what the server of %s offers to log in is not on disk, so after a restart it may offer less: %v", c.account.bare(), c.unkept))
	}
	return faults
}

// offerOf returns what a server offers that has let an account in by a mechanism. Of
// mechanisms that it has not shown to work only those count that need no channel binding.
func offerOf(f features, used string) Offer {
	if used != external {
		return Offer{Password: used}
	}
	o := Offer{Certificate: true}
	for _, name := range f.Mechanisms {
		if !strings.HasSuffix(name, "-PLUS") && strength(name) > strength(o.Password) {
			o.Password = name
		}
	}
	return o
}
