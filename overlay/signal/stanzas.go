package signal

import (
	"encoding/base64"
	"encoding/xml"
	"errors"
	"strings"

	"gosrc.io/xmpp/stanza"
)

const (
	nsPing = "urn:xmpp:ping"
	nsTLS  = "urn:ietf:params:xml:ns:xmpp-tls"
)

// priority keeps messages to the bare JID away from us (RFC 6121, section
// 8.5.2.1): only who learned our resource by presence or by guessing 32 random
// bits can address this session.
const priority = -1

// element is our own child of a message or presence: a payload in base64.
type element struct {
	XMLName xml.Name `xml:"urn:evio:1 evio"`
	Data    string   `xml:",chardata"`
}

// noStore asks servers not to archive the message (XEP-0334).
type noStore struct {
	XMLName xml.Name `xml:"urn:xmpp:hints no-store"`
}

// ping is the request of XEP-0199.
type ping struct {
	XMLName xml.Name `xml:"urn:xmpp:ping ping"`
}

var _ stanza.IQPayload = (*ping)(nil)

// Namespace implements stanza.IQPayload.
func (*ping) Namespace() string { return nsPing }

// GetSet implements stanza.IQPayload: there is no result set.
func (*ping) GetSet() *stanza.ResultSet { return nil }

func messageXML(to, id string, payload []byte) ([]byte, error) {
	m := stanza.NewMessage(stanza.Attrs{To: to, Id: id, Type: stanza.MessageTypeNormal})
	m.Extensions = []stanza.MsgExtension{encodePayload(payload), noStore{}}
	return xml.Marshal(m)
}

func presenceXML(extension []byte) ([]byte, error) {
	p := stanza.NewPresence(stanza.Attrs{})
	p.Priority = priority
	p.Extensions = []stanza.PresExtension{encodePayload(extension)}
	return xml.Marshal(p)
}

func subscribedXML(to string) ([]byte, error) {
	return xml.Marshal(stanza.NewPresence(stanza.Attrs{To: to, Type: stanza.PresenceTypeSubscribed}))
}

func requestXML(typ stanza.StanzaType, to, id string, payload stanza.IQPayload) ([]byte, error) {
	iq, err := stanza.NewIQ(stanza.Attrs{Type: typ, To: to, Id: id})
	if err != nil {
		return nil, err
	}
	iq.Payload = payload
	return xml.Marshal(iq)
}

// replyXML answers a request: with an empty result, or with an error if condition is given.
func replyXML(to, id, condition string) ([]byte, error) {
	iq, err := stanza.NewIQ(stanza.Attrs{Type: stanza.IQTypeResult, To: to, Id: id})
	if err != nil {
		return nil, err
	}
	switch condition {
	case "":
	case "service-unavailable":
		iq.Type = stanza.IQTypeError
		iq.Error = &stanza.Err{Code: 503, Type: stanza.ErrorTypeCancel, Reason: condition}
	default:
		iq.Type = stanza.IQTypeError
		iq.Error = &stanza.Err{Code: 400, Type: stanza.ErrorTypeModify, Reason: condition}
	}
	return xml.Marshal(iq)
}

func encodePayload(b []byte) element {
	return element{Data: base64.StdEncoding.EncodeToString(b)}
}

var errBadPayload = errors.New("payload is not one element of at most 8 KiB in base64")

// decodePayload returns nil where there is no element of ours. Two are an error:
// then it is not clear which the sender means.
func decodePayload(found []element) ([]byte, error) {
	if len(found) == 0 {
		return nil, nil
	}
	text := strings.TrimSpace(found[0].Data)
	if len(found) > 1 || len(text) > base64.StdEncoding.EncodedLen(MaxPayload) {
		return nil, errBadPayload
	}
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if err != nil || len(b) > MaxPayload {
		return nil, errBadPayload
	}
	return b, nil
}

// note is a message or presence as far as it concerns us. Only direct children
// count: a forwarded stanza inside is skipped whole.
type note struct {
	from, typ string
	found     []element
	room      []roomUser // what a room says
	fault     *nonza     // of type error
}

func readNote(d *xml.Decoder, start xml.StartElement) (note, error) {
	var children struct {
		Found []element  `xml:"urn:evio:1 evio"`
		Room  []roomUser `xml:"http://jabber.org/protocol/muc#user x"`
		Fault *nonza     `xml:"jabber:client error"`
	}
	if err := d.DecodeElement(&children, &start); err != nil {
		return note{}, err
	}
	return note{
		from: attr(start, "from"), typ: attr(start, "type"),
		found: children.Found, room: children.Room, fault: children.Fault,
	}, nil
}

// query is an IQ stanza as far as it concerns us.
type query struct {
	from, id, typ string
	child         xml.Name            // the first one, except for error
	bind          *stanza.Bind        // if that is the child
	roster        *stanza.RosterItems // if that is the child
	disco         *discoQuery         // if that is the child
	list          *roomItems          // if that is the child
	fault         *nonza              // of type error
}

// readQuery reads an IQ stanza; the child is decoded only if trust says so of the
// sender, otherwise skipped.
func readQuery(d *xml.Decoder, start xml.StartElement, trust func(from string) bool) (query, error) {
	q := query{from: attr(start, "from"), id: attr(start, "id"), typ: attr(start, "type")}
	trusted := trust(q.from)
	for {
		t, err := d.Token()
		if err != nil {
			return query{}, err
		}
		switch t := t.(type) {
		case xml.StartElement:
			if err := q.readChild(d, t, trusted); err != nil {
				return query{}, err
			}
		case xml.EndElement: // ours: children are read whole
			return q, nil
		}
	}
}

func (q *query) readChild(d *xml.Decoder, start xml.StartElement, trusted bool) error {
	if start.Name == (xml.Name{Space: stanza.NSClient, Local: "error"}) && q.fault == nil {
		q.fault = &nonza{}
		return d.DecodeElement(q.fault, &start)
	}
	if q.child != (xml.Name{}) {
		return d.Skip()
	}
	q.child = start.Name
	if !trusted {
		return d.Skip()
	}
	switch start.Name {
	case xml.Name{Space: stanza.NSRoster, Local: "query"}:
		q.roster = &stanza.RosterItems{}
		return d.DecodeElement(q.roster, &start)
	case xml.Name{Space: stanza.NSBind, Local: "bind"}:
		q.bind = &stanza.Bind{}
		return d.DecodeElement(q.bind, &start)
	case xml.Name{Space: nsDisco, Local: "query"}:
		q.disco = &discoQuery{}
		return d.DecodeElement(q.disco, &start)
	case xml.Name{Space: nsRoomAdmin, Local: "query"}:
		q.list = &roomItems{}
		return d.DecodeElement(q.list, &start)
	}
	return d.Skip()
}

// nonza is an element beside the stanzas: of STARTTLS, SASL, or a stream error; or the
// error of a stanza, which is built alike.
type nonza struct {
	XMLName  xml.Name
	Data     string     `xml:",chardata"`
	Text     string     `xml:"text"`
	Children []xml.Name `xml:",any"`
}

const noReason = "no reason given"

// condition is the defined condition of an error: its first child but text.
func (n *nonza) condition() string {
	if n == nil || len(n.Children) == 0 {
		return noReason
	}
	return n.Children[0].Local
}

// features are what the server offers at this point of the stream.
type features struct {
	StartTLS   *struct{} `xml:"urn:ietf:params:xml:ns:xmpp-tls starttls"`
	Mechanisms []string  `xml:"urn:ietf:params:xml:ns:xmpp-sasl mechanisms>mechanism"`
	Bind       *struct{} `xml:"urn:ietf:params:xml:ns:xmpp-bind bind"`
	Bindings   []struct {
		Type string `xml:"type,attr"`
	} `xml:"urn:xmpp:sasl-cb:0 sasl-channel-binding>channel-binding"` // XEP-0440
}
