package signal

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"math/big"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sirupsen/logrus"
	"github.com/xdg-go/scram"
)

const (
	testDomain   = "evio.test"
	testJID      = "alice@" + testDomain
	testPassword = "correct horse"
)

// authority signs server certificates.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pool *x509.CertPool
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	a := &authority{key: key, pool: x509.NewCertPool()}
	a.cert, err = a.sign(&x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "test authority"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign,
	}, nil, &key.PublicKey)
	if err != nil {
		return nil, err
	}
	a.pool.AddCert(a.cert)
	return a, nil
}

// sign is valid at any time, also at that of testing/synctest.
func (a *authority) sign(template, parent *x509.Certificate, key *ecdsa.PublicKey) (*x509.Certificate, error) {
	template.NotBefore = time.Date(1990, 1, 1, 0, 0, 0, 0, time.UTC)
	template.NotAfter = time.Date(2090, 1, 1, 0, 0, 0, 0, time.UTC)
	if parent == nil {
		parent = template
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

func (a *authority) issue(host string) (tls.Certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return tls.Certificate{}, err
	}
	cert, err := a.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2),
		Subject:      pkix.Name{CommonName: host},
		DNSNames:     []string{host},
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, a.cert, &key.PublicKey)
	if err != nil {
		return tls.Certificate{}, err
	}
	return tls.Certificate{Certificate: [][]byte{cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// certificates are made once: the trusted authority's for the domain and for
// another one, and a stranger's for the domain.
type certificates struct {
	authority              *authority // that trusted has
	trusted                *x509.CertPool
	right, other, stranger tls.Certificate
}

var makeCertificates = sync.OnceValues(func() (certificates, error) {
	ours, err := newAuthority()
	if err != nil {
		return certificates{}, err
	}
	theirs, err := newAuthority()
	if err != nil {
		return certificates{}, err
	}
	c := certificates{authority: ours, trusted: ours.pool}
	for _, i := range []struct {
		by   *authority
		host string
		to   *tls.Certificate
	}{{ours, testDomain, &c.right}, {ours, "other.test", &c.other}, {theirs, testDomain, &c.stranger}} {
		if *i.to, err = i.by.issue(i.host); err != nil {
			return certificates{}, err
		}
	}
	return c, nil
})

func testCertificates(t testing.TB) certificates {
	t.Helper()
	c, err := makeCertificates()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// scene is a Client and the scripted servers that it meets: one script for each connection.
type scene struct {
	t       *testing.T
	cfg     Config
	client  *Client
	events  chan string
	scripts chan func(*peer)
	run     chan error
	stop    context.CancelFunc

	mu    sync.Mutex
	dials []time.Time
	wires []*half // what the client wrote, by connection
}

// newScene makes a client whose connections are served by scripts; a connection
// beyond them is refused.
func newScene(t *testing.T, scripts ...func(*peer)) *scene {
	t.Helper()
	s := &scene{t: t, events: make(chan string, 4096), scripts: make(chan func(*peer), len(scripts))}
	for _, script := range scripts {
		s.scripts <- script
	}
	logger := logrus.New()
	logger.SetOutput(io.Discard)
	s.cfg = Config{
		JID:       testJID,
		Password:  func() (string, error) { return testPassword, nil },
		RootCAs:   testCertificates(t).trusted,
		Extension: []byte("hello"),
		Resolver:  &hosts{addresses: map[string][]string{"evio.test": {"192.0.2.1"}}},
		Dial:      s.dial,
		Log:       logrus.NewEntry(logger),
	}
	return s
}

// start runs the client until the test ends.
func (s *scene) start() {
	s.t.Helper()
	var err error
	if s.client, err = New(s.cfg, s); err != nil {
		s.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	s.run = make(chan error, 1)
	go func() { s.run <- s.client.Run(ctx) }()
}

// end stops the client and waits.
func (s *scene) end() {
	s.t.Helper()
	s.stop()
	if err := <-s.run; err == nil {
		s.t.Error("Run returned nil, want the context's error")
	}
}

func (s *scene) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	select {
	case script := <-s.scripts:
		client, server := newPipe()
		s.wires = append(s.wires, client.out)
		go func() {
			p := &peer{Conn: server, t: s.t}
			defer func() { _ = p.Close() }()
			script(p)
		}()
		return client, nil
	default:
		return nil, fmt.Errorf("connection refused")
	}
}

func (s *scene) dialled() []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time{}, s.dials...)
}

// wire is what the client wrote on its first connection.
func (s *scene) wire() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wires[0].written()
}

func (s *scene) Up(full string) { s.events <- "up " + bareOf(full) }
func (s *scene) Down(err error) { s.events <- "down " + err.Error() }
func (s *scene) Roster(items []Item) {
	var b strings.Builder
	for _, i := range items {
		fmt.Fprintf(&b, " %s:%s%v", i.JID, i.Subscription, i.Groups)
	}
	s.events <- "roster" + b.String()
}

func (s *scene) Presence(from string, available bool, extension []byte) {
	s.events <- fmt.Sprintf("presence %s %v %q %v", from, available, extension, extension == nil)
}

func (s *scene) Room(room string, c RoomChange) {
	s.events <- fmt.Sprintf("room %s members %v removed %v complete %v closed %v: %v", room, c.Members, c.Removed, c.Complete, c.Closed, c.Err)
}

func (s *scene) Occupant(room, from string, available bool, extension []byte) {
	s.events <- fmt.Sprintf("occupant %s %s %v %q", room, from, available, extension)
}

func (s *scene) Message(from string, payload []byte) {
	s.events <- fmt.Sprintf("message %s %s", from, payload)
}

// expect takes the next event, which must begin so; within an hour of virtual time.
func (s *scene) expect(prefix string) string {
	s.t.Helper()
	select {
	case got := <-s.events:
		if !strings.HasPrefix(got, prefix) {
			s.t.Fatalf("event %q, want %q…", got, prefix)
		}
		return got
	case <-time.After(time.Hour):
		s.t.Fatalf("no event, want %q…; last error %q", prefix, s.client.Status().LastError)
		return ""
	}
}

// expectLogin takes the events of a login.
func (s *scene) expectLogin() {
	s.t.Helper()
	s.expect("up " + testJID)
	s.expect("roster")
}

// peer is the server's end of one connection. A step that the client spoils by
// closing ends the script through runtime.Goexit of t.Fatal only where the test
// says so: scripts use broken for what must not happen.
type peer struct {
	net.Conn
	t   *testing.T
	dec *xml.Decoder
}

// sent is a stanza from the client.
type sent struct {
	XMLName xml.Name
	Attrs   []xml.Attr `xml:",any,attr"`
	Inner   string     `xml:",innerxml"`
}

func (e sent) attr(name string) string {
	return attr(xml.StartElement{Attr: e.Attrs}, name)
}

func (p *peer) send(format string, args ...any) {
	_, _ = fmt.Fprintf(p.Conn, format, args...) // the client may have gone: the test looks at its end
}

// read returns the client's next element; ok is false when it has gone.
func (p *peer) read() (e sent, ok bool) {
	for {
		t, err := p.dec.Token()
		if err != nil {
			return sent{}, false
		}
		if start, is := t.(xml.StartElement); is {
			return e, p.dec.DecodeElement(&e, &start) == nil
		}
	}
}

// want reads the next element, which must have this name.
func (p *peer) want(name string) sent {
	e, ok := p.read()
	if !ok || e.XMLName.Local != name {
		p.t.Errorf("server got %q %q, want <%s>", e.XMLName.Local, e.Inner, name)
	}
	return e
}

// drain reads until the client goes.
func (p *peer) drain() {
	for {
		if _, ok := p.read(); !ok {
			return
		}
	}
}

// header answers the client's stream header with ours and these features.
func (p *peer) header(features string) bool {
	p.dec = xml.NewDecoder(p.Conn)
	for {
		t, err := p.dec.Token()
		if err != nil {
			return false
		}
		if _, ok := t.(xml.StartElement); ok {
			break
		}
	}
	p.send("<?xml version='1.0'?><stream:stream from='%s' id='1' version='1.0' xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>", testDomain)
	p.send("<stream:features>%s</stream:features>", features)
	return true
}

const offerStartTLS = "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls>"

// startTLS goes into TLS with this certificate and reports whether the client agreed.
func (p *peer) startTLS(cert tls.Certificate) bool {
	if !p.header(offerStartTLS) {
		return false
	}
	p.want("starttls")
	p.send("<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
	return p.tls(&tls.Config{Certificates: []tls.Certificate{cert}})
}

func (p *peer) tls(conf *tls.Config) bool {
	c := tls.Server(p.Conn, conf)
	p.Conn = c
	return c.Handshake() == nil
}

// mechanisms offers these by SASL.
func mechanisms(names ...string) string {
	return "<mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>" +
		strings.Join(names, "</mechanism><mechanism>") + "</mechanism></mechanisms>"
}

// secureTo offers mechanisms inside TLS.
func (p *peer) secureTo(names ...string) bool {
	return p.startTLS(testCertificates(p.t).right) && p.header(mechanisms(names...))
}

func (p *peer) challenge(message string) {
	p.send("<challenge xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</challenge>", base64.StdEncoding.EncodeToString([]byte(message)))
}

func (p *peer) success(message string) {
	p.send("<success xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</success>", base64.StdEncoding.EncodeToString([]byte(message)))
}

func (p *peer) failure(condition string) {
	p.send("<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><%s/><text>go away</text></failure>", condition)
}

func saslData(e sent) string {
	b, err := base64.StdEncoding.DecodeString(e.Inner)
	if err != nil {
		return ""
	}
	return string(b)
}

// scram plays the server's part for an account with this password and returns the
// mechanism that the client chose and the final message, not yet sent.
func (p *peer) scram(password string) (name, final string, ok bool) {
	auth := p.want("auth")
	name = auth.attr("mechanism")
	hash := scram.SHA1
	if strings.Contains(name, "256") {
		hash = scram.SHA256
	}
	lookup := func(user string) (scram.StoredCredentials, error) {
		account, err := hash.NewClient(user, password, "")
		if err != nil {
			return scram.StoredCredentials{}, err
		}
		return account.GetStoredCredentialsWithError(scram.KeyFactors{Salt: "salt", Iters: 4096})
	}
	server, err := hash.NewServer(lookup)
	if err != nil {
		p.t.Error(err)
		return "", "", false
	}
	conversation := server.NewConversation()
	if strings.HasSuffix(name, "-PLUS") {
		state := p.Conn.(*tls.Conn).ConnectionState()
		binding, err := scram.NewTLSExporterBinding(&state)
		if err != nil {
			p.t.Error(err)
			return "", "", false
		}
		conversation = server.NewConversationWithChannelBindingRequired(binding)
	}
	challenge, err := conversation.Step(saslData(auth))
	if err != nil {
		p.failure("malformed-request")
		return name, "", false
	}
	p.challenge(challenge)
	response, ok := p.read()
	if !ok {
		return name, "", false
	}
	final, err = conversation.Step(saslData(response))
	if err != nil {
		p.failure("not-authorized")
		return name, "", false
	}
	return name, final, true
}

// authenticate is the whole of SCRAM.
func (p *peer) authenticate() bool {
	_, final, ok := p.scram(testPassword)
	if ok {
		p.success(final)
	}
	return ok
}

// bind gives the client the resource it asks for.
func (p *peer) bind() (full string, ok bool) {
	if !p.header("<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>") {
		return "", false
	}
	iq := p.want("iq")
	_, rest, _ := strings.Cut(iq.Inner, "<resource>")
	resource, _, _ := strings.Cut(rest, "</resource>")
	full = testJID + "/" + resource
	p.send("<iq type='result' id='%s'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><jid>%s</jid></bind></iq>", iq.attr("id"), full)
	return full, true
}

const testRoster = "<item jid='bob@evio.test' subscription='both'><group>evio</group></item><item jid='carol@evio.test' subscription='to'/>"

// login is everything up to the initial presence, which it returns.
func (p *peer) login() (full string, presence sent, ok bool) {
	if !p.secureTo("SCRAM-SHA-1", "SCRAM-SHA-256", "PLAIN") || !p.authenticate() {
		return "", sent{}, false
	}
	if full, ok = p.bind(); !ok {
		return "", sent{}, false
	}
	get := p.want("iq")
	p.send("<iq type='result' id='%s' to='%s'><query xmlns='jabber:iq:roster'>%s</query></iq>", get.attr("id"), full, testRoster)
	return full, p.want("presence"), true
}

// serve logs the client in and goes on with then.
func serve(then func(p *peer, full string)) func(*peer) {
	return func(p *peer) {
		full, _, ok := p.login()
		if !ok {
			p.t.Error("the login did not complete")
			return
		}
		then(p, full)
	}
}
