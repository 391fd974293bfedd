package main

import (
	"bytes"
	"net/netip"
	"testing"
)

func TestWiretap(t *testing.T) {
	peer, host := netip.MustParseAddrPort("203.0.113.11:14790"), netip.MustParseAddrPort("192.168.12.2:14790")
	elsewhere := netip.MustParseAddrPort("203.0.113.99:4444")
	ether := []byte{2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, 8, 0}
	captured := func(from, to netip.AddrPort, payload string) []byte {
		return append(append([]byte{}, ether...), udpDatagram(from, to, []byte(payload))...)
	}
	record := "\xc1\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00 a record"
	for name, c := range map[string]struct {
		tap   wiretap
		frame []byte
		want  []byte
	}{
		"a copy": {wiretap{to: host, first: 193, change: changes["copy"]}, captured(peer, host, record), captured(peer, host, record)},
		"one bit": {
			wiretap{to: host, first: 193, change: changes["flip"]}, captured(peer, host, record),
			captured(peer, host, "\xc1\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x01\x00 a recore"),
		},
		"from elsewhere, over another wire": {
			wiretap{to: peer, first: 193, change: changes["copy"], asFrom: elsewhere, asTo: host, mac: []byte{2, 0, 0, 0, 0, 9}},
			captured(host, peer, record),
			append([]byte{2, 0, 0, 0, 0, 9, 2, 0, 0, 0, 0, 2, 8, 0}, udpDatagram(elsewhere, host, []byte(record))...),
		},
		"an alert": {
			wiretap{to: host, first: 193, change: changes["alert"]}, captured(peer, host, record),
			captured(peer, host, "\xc0\x01\x02\x03\x04\x00\x00\x00\x00\x00\x00\x00\x00\x15\xfe\xfd\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x02\x28"),
		},
		"to another":       {wiretap{to: peer, first: 193, change: changes["copy"]}, captured(peer, host, record), nil},
		"of another kind":  {wiretap{to: host, first: 192, change: changes["copy"]}, captured(peer, host, record), nil},
		"too short":        {wiretap{to: host, first: 193, least: 100, change: changes["copy"]}, captured(peer, host, record), nil},
		"no UDP datagram":  {wiretap{to: host, first: 193, change: changes["copy"]}, ether, nil},
		"cut":              {wiretap{to: host, first: 193, change: changes["copy"]}, captured(peer, host, record)[:40], nil},
		"padded by a wire": {wiretap{to: host, first: 193, change: changes["copy"]}, append(captured(peer, host, record), 0, 0, 0), captured(peer, host, record)},
	} {
		t.Run(name, func(t *testing.T) {
			before := bytes.Clone(c.frame)
			got, _ := c.tap.answerTo(c.frame)
			if !bytes.Equal(got, c.want) {
				t.Errorf("got\n%x, want\n%x", got, c.want)
			}
			if !bytes.Equal(before, c.frame) {
				t.Error("the captured frame was changed")
			}
		})
	}
}
