package signal

import (
	"encoding/xml"
	"net"
	"strings"
	"time"

	"gosrc.io/xmpp/stanza"
)

// stream is one connection to the server and the XML stream it carries now. One
// goroutine reads; one writes.
type stream struct {
	conn net.Conn
	raw  net.Conn // TCP beneath conn: closing it waits for nothing
	in   *input
	toks *tokens
	dec  *xml.Decoder // of toks
}

func newStream(conn, raw net.Conn) *stream {
	return &stream{conn: conn, raw: raw, in: newInput(conn)}
}

// open starts the XML stream anew and returns the server's features (RFC 6120, section 4.3).
func (s *stream) open(domain string) (features, error) {
	var header strings.Builder
	header.WriteString("<?xml version='1.0'?><stream:stream to='")
	if err := xml.EscapeText(&header, []byte(domain)); err != nil {
		return features{}, err
	}
	header.WriteString("' version='1.0' xml:lang='en' xmlns='" + stanza.NSClient + "' xmlns:stream='" + stanza.NSStream + "'>")
	if err := s.write([]byte(header.String())); err != nil {
		return features{}, err
	}
	s.toks = newTokens(s.in)
	s.dec = xml.NewTokenDecoder(s.toks)
	t, err := s.token()
	if err != nil {
		return features{}, err
	}
	root, ok := t.(xml.StartElement)
	if !ok || root.Name != (xml.Name{Space: stanza.NSStream, Local: "stream"}) || !strings.HasPrefix(attr(root, "version"), "1.") {
		return features{}, errNotXMPP
	}
	start, err := s.next()
	if err != nil {
		return features{}, err
	}
	if start.Name != (xml.Name{Space: stanza.NSStream, Local: "features"}) {
		return features{}, errNotXMPP
	}
	var f features
	return f, s.decode(&f, start)
}

// next reads up to the start of the next stanza or nonza. A stream error and the
// end of the stream are errors.
func (s *stream) next() (xml.StartElement, error) {
	t, err := s.token()
	if err != nil {
		return xml.StartElement{}, err
	}
	start, ok := t.(xml.StartElement)
	if !ok {
		return xml.StartElement{}, errStreamEnd
	}
	if start.Name == (xml.Name{Space: stanza.NSStream, Local: "error"}) {
		n, err := s.nonza(start)
		if err != nil {
			return xml.StartElement{}, err
		}
		return xml.StartElement{}, streamError(n)
	}
	return start, nil
}

// token skips the XML declaration; input lets nothing else by between stanzas.
func (s *stream) token() (xml.Token, error) {
	for {
		t, err := s.dec.Token()
		if err != nil {
			return nil, readError(err)
		}
		if _, declaration := t.(xml.ProcInst); !declaration {
			return t, nil
		}
	}
}

// skip leaves out the stanza under way, in which the decoder has failed.
func (s *stream) skip() error {
	if err := s.in.skip(); err != nil {
		return readError(err)
	}
	s.toks = s.toks.behind()
	s.dec = xml.NewTokenDecoder(s.toks)
	_, err := s.dec.Token() // the root
	return err
}

func (s *stream) nonza(start xml.StartElement) (nonza, error) {
	var n nonza
	return n, s.decode(&n, start)
}

func (s *stream) decode(v any, start xml.StartElement) error {
	if err := s.dec.DecodeElement(v, &start); err != nil {
		return readError(err)
	}
	return nil
}

func (s *stream) note(start xml.StartElement) (note, error) {
	n, err := readNote(s.dec, start)
	if err != nil {
		return note{}, readError(err)
	}
	return n, nil
}

func (s *stream) query(start xml.StartElement, trust func(from string) bool) (query, error) {
	q, err := readQuery(s.dec, start, trust)
	if err != nil {
		return query{}, readError(err)
	}
	return q, nil
}

// write has the deadline that is set on the connection. After an error the stream cannot be used.
func (s *stream) write(b []byte) error {
	if _, err := s.conn.Write(b); err != nil {
		return writeError(err)
	}
	return nil
}

func (s *stream) writeWithin(d time.Duration, b []byte) error {
	if err := s.conn.SetWriteDeadline(time.Now().Add(d)); err != nil {
		return writeError(err)
	}
	return s.write(b)
}
