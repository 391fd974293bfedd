package signal

import (
	"crypto/tls"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/xdg-go/scram"
	"gosrc.io/xmpp/stanza"
)

// maxIterations bounds the work that a server may ask of us for one login: about
// a second. RFC 7677 asks for at least 4096, servers for 10,000 to 600,000.
const maxIterations = 1_000_000

// mechanism is one SASL exchange (RFC 4422): first, then a response to each challenge.
type mechanism struct {
	name  string
	first string
	// respond answers a challenge; nil: the mechanism has none.
	respond func(challenge string) (string, error)
	// proved reports whether the server has shown that it knows the password too.
	proved func() bool
}

var (
	errPassword   = errors.New("the password has characters that SCRAM does not allow (RFC 4013)")
	errNoPassword = errors.New("the password is empty")
)

// credentials are what the account can show.
type credentials struct {
	jid, user   string
	password    string           // or "": none
	certificate *tls.Certificate // or nil
}

// chooseMechanism takes the strongest that both ends have. PLAIN gives the server
// the password itself: callers are inside verified TLS.
func chooseMechanism(f features, with credentials, state *tls.ConnectionState) (mechanism, error) {
	byCertificate := mechanism{name: external, first: with.jid, proved: func() bool { return true }}
	switch {
	case with.certificate != nil && slices.Contains(f.Mechanisms, byCertificate.name):
		return byCertificate, nil
	case with.password != "":
		return byPassword(f, with.user, with.password, state)
	case with.certificate != nil:
		return mechanism{}, fmt.Errorf("it offers the mechanisms %s and not EXTERNAL: let it ask clients for certificates and trust the authority of this one, or name a password file", quote(strings.Join(f.Mechanisms, " ")))
	}
	return mechanism{}, errNoPassword
}

func byPassword(f features, user, password string, state *tls.ConnectionState) (mechanism, error) {
	binding, known := channelBinding(f, state)
	plus := slices.ContainsFunc(f.Mechanisms, func(name string) bool { return strings.HasSuffix(name, "-PLUS") })
	for _, m := range []struct {
		name string
		hash scram.HashGeneratorFcn
		plus bool
	}{
		{"SCRAM-SHA-256-PLUS", scram.SHA256, true},
		{"SCRAM-SHA-1-PLUS", scram.SHA1, true},
		{"SCRAM-SHA-256", scram.SHA256, false},
		{"SCRAM-SHA-1", scram.SHA1, false},
	} {
		if !slices.Contains(f.Mechanisms, m.name) || m.plus && !known {
			continue
		}
		client, err := m.hash.NewClient(user, password, "")
		if err != nil { // its text quotes the password
			return mechanism{}, errPassword
		}
		var c *scram.ClientConversation
		switch {
		case m.plus:
			c = client.NewConversationWithChannelBinding(binding)
		case plus: // offered, with a binding that we do not have
			c = client.NewConversation()
		default: // lets the server notice that its -PLUS offers were taken away
			c = client.NewConversationAdvertisingChannelBinding()
		}
		return scramMechanism(m.name, c)
	}
	if slices.Contains(f.Mechanisms, plain) {
		return mechanism{
			name:   plain,
			first:  "\x00" + user + "\x00" + password,
			proved: func() bool { return true }, // by its certificate alone
		}, nil
	}
	return mechanism{}, fmt.Errorf("it offers the mechanisms %s and none of SCRAM-SHA-256, SCRAM-SHA-1, PLAIN", quote(strings.Join(f.Mechanisms, " ")))
}

// channelBinding ties the login to this TLS connection, if the server says which
// kind it takes (XEP-0440): RFC 9266, or RFC 5929 section 4.
func channelBinding(f features, state *tls.ConnectionState) (scram.ChannelBinding, bool) {
	takes := func(kind scram.ChannelBindingType) bool {
		for _, b := range f.Bindings {
			if b.Type == string(kind) {
				return true
			}
		}
		return false
	}
	if state.Version >= tls.VersionTLS13 && takes(scram.ChannelBindingTLSExporter) {
		if b, err := scram.NewTLSExporterBinding(state); err == nil {
			return b, true
		}
	}
	if takes(scram.ChannelBindingTLSServerEndpoint) {
		if b, err := scram.NewTLSServerEndpointBinding(state); err == nil {
			return b, true
		}
	}
	return scram.ChannelBinding{}, false
}

func scramMechanism(name string, c *scram.ClientConversation) (mechanism, error) {
	first, err := c.Step("")
	if err != nil {
		return mechanism{}, fmt.Errorf("begin %s: %w", name, err)
	}
	respond := func(challenge string) (string, error) {
		if err := checkIterations(challenge); err != nil {
			return "", err
		}
		response, err := c.Step(challenge)
		switch {
		case err != nil && c.Done():
			return "", fmt.Errorf("%w (%s)", errServerProof, quote(err.Error()))
		case err != nil: // its text repeats the challenge
			return "", fmt.Errorf("%s: %s", name, quote(err.Error()))
		}
		return response, nil
	}
	return mechanism{name: name, first: first, respond: respond, proved: c.Valid}, nil
}

// checkIterations looks at i= of a server-first-message (RFC 5802, section 7).
func checkIterations(challenge string) error {
	for field := range strings.SplitSeq(challenge, ",") {
		if count, ok := strings.CutPrefix(field, "i="); ok {
			if n, err := strconv.Atoi(count); err != nil || n > maxIterations {
				return fmt.Errorf("it asks for %s iterations of the password's hash, over %d", quote(count), maxIterations)
			}
		}
	}
	return nil
}

// authenticate runs the exchange (RFC 6120, section 6.4). A server whose final
// message does not verify is an error even if it reports success.
func (s *stream) authenticate(m mechanism) error {
	if err := s.writeXML(stanza.SASLAuth{Mechanism: m.name, Value: base64.StdEncoding.EncodeToString([]byte(m.first))}); err != nil {
		return err
	}
	for {
		start, err := s.next()
		if err != nil {
			return err
		}
		n, err := s.nonza(start)
		if err != nil {
			return err
		}
		switch start.Name {
		case xml.Name{Space: stanza.NSSASL, Local: "challenge"}:
			response, err := m.answer(n.Data)
			if err != nil {
				return err
			}
			if err := s.writeXML(saslResponse{Value: base64.StdEncoding.EncodeToString([]byte(response))}); err != nil {
				return err
			}
		case xml.Name{Space: stanza.NSSASL, Local: "success"}:
			return m.finish(n.Data)
		case xml.Name{Space: stanza.NSSASL, Local: "failure"}:
			return &saslFailure{condition: n.condition(), text: n.Text}
		default:
			return fmt.Errorf("unexpected <%s> during authentication", quote(start.Name.Local))
		}
	}
}

// answer responds to one challenge.
func (m mechanism) answer(data string) (string, error) {
	challenge, err := decodeSASL(data)
	if err != nil {
		return "", err
	}
	if m.respond == nil {
		return "", fmt.Errorf("%s has no challenge, but the server sent one", m.name)
	}
	return m.respond(challenge)
}

// finish takes the data of <success/>, where SCRAM's final message comes unless it
// came as a last challenge.
func (m mechanism) finish(data string) error {
	if strings.TrimSpace(data) != "" && m.respond != nil && !m.proved() {
		if _, err := m.answer(data); err != nil {
			return err
		}
	}
	if !m.proved() {
		return errServerProof
	}
	return nil
}

// saslFailure is the server's refusal (RFC 6120, section 6.5).
type saslFailure struct{ condition, text string }

func (e *saslFailure) Error() string { return quote(e.condition) + quoteText(e.text) }

// saslResponse answers a challenge (RFC 6120, section 6.4.3).
type saslResponse struct {
	XMLName xml.Name `xml:"urn:ietf:params:xml:ns:xmpp-sasl response"`
	Value   string   `xml:",chardata"`
}

func (s *stream) writeXML(v any) error {
	b, err := xml.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %T: %w", v, err)
	}
	return s.write(b)
}

// decodeSASL knows that a zero-length message may come as = (RFC 6120, section 6.4.2).
func decodeSASL(data string) (string, error) {
	data = strings.TrimSpace(data)
	if data == "=" {
		return "", nil
	}
	b, err := base64.StdEncoding.DecodeString(data)
	if err != nil {
		return "", fmt.Errorf("challenge: %w", err)
	}
	return string(b), nil
}
