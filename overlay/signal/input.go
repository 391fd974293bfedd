package signal

import (
	"bufio"
	"encoding/xml"
	"io"
	"sync/atomic"
	"time"
)

const (
	// maxStanza bounds one stanza on the wire, in bytes. 256 KiB leave room for a
	// roster of some thousand contacts; the rest is for the addresses that a
	// server adds to a stanza it let through at 256 KiB.
	maxStanza = 264 << 10
	// maxElements bounds the elements of one stanza: each costs some hundred bytes
	// in passing, and a full roster has fewer.
	maxElements = 16 << 10
	maxDepth    = 64
	maxAttrs    = 64
)

// violation is what a server may not send; it ends the connection.
type violation string

func (v violation) Error() string { return "the server sent " + string(v) + ": connection closed" }

// excess is what a server lets pass from one of its users: a stanza beyond our limits.
// It ends a login; a session skips the stanza.
type excess string

func (e excess) Error() string { return "the server sent " + string(e) + ": connection closed" }

const (
	errStanzaTooLarge  = excess("a stanza over 264 KiB")
	errTooManyElements = excess("a stanza of over 16384 elements")
	errTooDeep         = excess("XML nested over 64 deep")
	errTooManyAttrs    = excess("an element with over 64 attributes")
	errAttributeTwice  = violation("an element with an attribute given twice")
	errRestrictedXML   = violation("XML that XMPP forbids (comment, declaration or processing instruction)")
	errStrayText       = violation("text between stanzas, which no XMPP server does (check address and port)")
)

// input is the byte stream from the server. It hands out single bytes, so that
// the decoder above never reads ahead over a change to TLS, and refuses the byte
// that makes a stanza too large. Only silence and reads are
// safe for concurrent use.
type input struct {
	buffered *bufio.Reader
	left     int           // bytes that the current stanza may still take
	scanner  stanzaScanner // of the current stanza
	began    time.Time
	heard    atomic.Int64  // when bytes came last, as nanoseconds since began
	reads    atomic.Uint64 // how often bytes came
}

func newInput(r io.Reader) *input {
	in := &input{left: maxStanza, began: time.Now()}
	in.buffered = bufio.NewReader(activityReader{r, in})
	return in
}

// activityReader notes when bytes arrive.
type activityReader struct {
	io.Reader
	in *input
}

func (h activityReader) Read(p []byte) (int, error) {
	n, err := h.Reader.Read(p)
	if n > 0 {
		h.in.heard.Store(int64(time.Since(h.in.began)))
		h.in.reads.Add(1)
	}
	return n, err
}

// silence is how long nothing has come. Safe for concurrent use.
func (in *input) silence() time.Duration {
	return time.Since(in.began) - time.Duration(in.heard.Load())
}

// ReadByte implements io.ByteReader, by which xml.Decoder reads without a buffer of its own.
func (in *input) ReadByte() (byte, error) {
	if in.left == 0 {
		return 0, errStanzaTooLarge
	}
	in.left--
	b, err := in.buffered.ReadByte()
	if err == nil {
		in.scanner.add(b)
	}
	return b, err
}

// Read completes io.Reader for xml.NewDecoder, which prefers ReadByte.
func (in *input) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	b, err := in.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = b
	return 1, nil
}

// nextStanza skips the white space that servers send to keep a connection alive
// (RFC 6120, section 4.6.1) and grants the next stanza its bytes.
func (in *input) nextStanza() error {
	for {
		b, err := in.buffered.ReadByte()
		if err != nil {
			return err
		}
		switch b {
		case ' ', '\t', '\r', '\n':
		case '<':
			in.left, in.scanner = maxStanza, stanzaScanner{}
			return in.buffered.UnreadByte()
		default:
			return errStrayText
		}
	}
}

// tokens yields the raw tokens of one XML stream and enforces what keeps a hostile
// stream harmless. The xml.Decoder above it matches tags and resolves name spaces.
type tokens struct {
	in       *input
	raw      *xml.Decoder
	depth    int
	elements int // of the current stanza
	begun    bool
	root     xml.StartElement // of the document
	again    bool             // the root is the next token
}

// newTokens starts a new XML document on in: the stream begins anew after STARTTLS
// and after authentication (RFC 6120, section 4.3.3).
func newTokens(in *input) *tokens { return &tokens{in: in, raw: xml.NewDecoder(in)} }

// behind goes on with the document where in stands, between two stanzas. The first
// token is the document's root, as it came.
func (t *tokens) behind() *tokens {
	return &tokens{in: t.in, raw: xml.NewDecoder(t.in), begun: true, root: t.root, again: true}
}

var _ xml.TokenReader = (*tokens)(nil)

// Token implements xml.TokenReader.
func (t *tokens) Token() (xml.Token, error) {
	if t.again {
		t.again = false
		t.depth++
		return t.root.Copy(), nil
	}
	if t.depth <= 1 {
		if err := t.in.nextStanza(); err != nil {
			return nil, err
		}
		t.elements = 0
	}
	tok, err := t.raw.RawToken()
	if err != nil {
		return nil, err
	}
	switch tok := tok.(type) {
	case xml.StartElement:
		if t.depth++; t.depth > maxDepth {
			return nil, errTooDeep
		}
		if t.elements++; t.elements > maxElements {
			return nil, errTooManyElements
		}
		if err := attributesSane(tok.Attr); err != nil {
			return nil, err
		}
		if t.depth == 1 {
			t.root = tok.Copy()
		}
	case xml.EndElement:
		t.depth--
	case xml.CharData:
		if t.depth <= 1 { // a CDATA section
			return nil, errStrayText
		}
	case xml.ProcInst:
		if t.begun || tok.Target != "xml" {
			return nil, errRestrictedXML
		}
	default: // comments and directives, so no entity is ever declared
		return nil, errRestrictedXML
	}
	t.begun = true
	return tok, nil
}

// attributesSane refuses what encoding/xml lets pass: an attribute given twice. A server
// may have checked one of the two, and we would believe the other.
func attributesSane(attrs []xml.Attr) error {
	if len(attrs) > maxAttrs {
		return errTooManyAttrs
	}
	for i, a := range attrs {
		for _, b := range attrs[:i] {
			if a.Name == b.Name {
				return errAttributeTwice
			}
		}
	}
	return nil
}

// attr returns an attribute that has no prefix. Struct tags of encoding/xml would
// also match x:from, which servers pass on as the sender wrote it.
func attr(e xml.StartElement, name string) string {
	for _, a := range e.Attr {
		if a.Name.Space == "" && a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}
