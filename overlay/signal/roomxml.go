package signal

import (
	"encoding/xml"
	"slices"

	"gosrc.io/xmpp/stanza"
)

const (
	nsDisco     = "http://jabber.org/protocol/disco#info"
	nsMUC       = "http://jabber.org/protocol/muc"
	nsRoomUser  = "http://jabber.org/protocol/muc#user"
	nsRoomAdmin = "http://jabber.org/protocol/muc#admin"
)

// joinRoom asks for a place in a room and for none of its past (XEP-0045, section 7.2).
type joinRoom struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/muc x"`
	History struct {
		MaxChars int `xml:"maxchars,attr"`
	} `xml:"history"`
}

// discoQuery asks what a room is (XEP-0030), and is the answer.
type discoQuery struct {
	XMLName  xml.Name `xml:"http://jabber.org/protocol/disco#info query"`
	Features []struct {
		Attrs []xml.Attr `xml:",any,attr"`
	} `xml:"feature"`
}

// Namespace implements stanza.IQPayload.
func (*discoQuery) Namespace() string { return nsDisco }

// GetSet implements stanza.IQPayload: there is no result set.
func (*discoQuery) GetSet() *stanza.ResultSet { return nil }

// listQuery asks for those with an affiliation (XEP-0045, sections 9.5, 10.5, 10.8).
type listQuery struct {
	XMLName xml.Name `xml:"http://jabber.org/protocol/muc#admin query"`
	Item    struct {
		Affiliation string `xml:"affiliation,attr"`
	} `xml:"item"`
}

// Namespace implements stanza.IQPayload.
func (*listQuery) Namespace() string { return nsRoomAdmin }

// GetSet implements stanza.IQPayload: there is no result set.
func (*listQuery) GetSet() *stanza.ResultSet { return nil }

// roomItems is the answer to a listQuery.
type roomItems struct {
	Items []roomItem `xml:"item"`
}

// roomItem is an occupant or somebody with an affiliation.
type roomItem struct {
	Attrs []xml.Attr `xml:",any,attr"`
}

func (i roomItem) attr(name string) string { return attr(xml.StartElement{Attr: i.Attrs}, name) }

// roomUser is what a room says of an occupant.
type roomUser struct {
	Items    []roomItem `xml:"http://jabber.org/protocol/muc#user item"`
	Statuses []struct {
		Code string `xml:"code,attr"`
	} `xml:"http://jabber.org/protocol/muc#user status"`
	Destroy *struct{} `xml:"http://jabber.org/protocol/muc#user destroy"`
}

// has reports whether one of the status codes is there (XEP-0045, section 15.6).
func (u roomUser) has(codes ...string) bool {
	for _, s := range u.Statuses {
		if slices.Contains(codes, s.Code) {
			return true
		}
	}
	return false
}

func joinXML(to string, extension []byte) ([]byte, error) {
	p := stanza.NewPresence(stanza.Attrs{To: to})
	p.Extensions = []stanza.PresExtension{joinRoom{}, encodePayload(extension)}
	return xml.Marshal(p)
}

// roomPresenceXML is our presence for a room that we are in.
func roomPresenceXML(to string, extension []byte) ([]byte, error) {
	p := stanza.NewPresence(stanza.Attrs{To: to})
	p.Extensions = []stanza.PresExtension{encodePayload(extension)}
	return xml.Marshal(p)
}

func leaveXML(to string) ([]byte, error) {
	return xml.Marshal(stanza.NewPresence(stanza.Attrs{To: to, Type: stanza.PresenceTypeUnavailable}))
}

func listXML(to, id, affiliation string) ([]byte, error) {
	q := &listQuery{}
	q.Item.Affiliation = affiliation
	return requestXML(stanza.IQTypeGet, to, id, q)
}
