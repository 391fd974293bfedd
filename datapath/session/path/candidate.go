package path

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

const (
	// maxLine is the longest line of a candidate that is read, with extensions.
	maxLine = 256
	// maxOwnLine is the longest one that is written: a relayed IPv6 address.
	maxOwnLine = 102
	// maxCandidatesRecord is the size of the largest candidates record. It passes wherever
	// packets of 1,280 bytes do.
	maxCandidatesRecord = 1200
	// component is the only ICE component of a session.
	component = 1
	// Related addresses are kept private. RFC 8839 section 5.1 and RFC 8829 section 5.1.2
	// say what to write in their place.
	noRelatedPort = 9
)

// Candidate is an address at which a node may be reached.
type Candidate struct {
	Type webrtc.ICECandidateType
	Addr netip.AddrPort
}

// ICE returns the candidate as WebRTC has it, with the default priority (RFC 8445 section
// 5.1.2). Its number in the list serves as its foundation, because no two candidates of the
// list have type, base and server in common.
func (c Candidate) ICE(number int) webrtc.ICECandidate {
	out := webrtc.ICECandidate{
		Foundation: strconv.Itoa(number), Component: component, Protocol: webrtc.ICEProtocolUDP, Typ: c.Type,
		Address: c.Addr.Addr().String(), Port: c.Addr.Port(),
	}
	if c.Type != webrtc.ICECandidateTypeHost {
		out.RelatedAddress, out.RelatedPort = netip.IPv4Unspecified().String(), noRelatedPort
		if c.Addr.Addr().Is6() {
			out.RelatedAddress = netip.IPv6Unspecified().String()
		}
	}
	return out
}

// Lines writes candidates as WebRTC exchanges them (RFC 8839 section 5.1).
func Lines(candidates []Candidate) []string {
	var out []string
	for i, c := range candidates {
		out = append(out, c.ICE(i+1).ToJSON().Candidate)
	}
	return out
}

// errNoUse is the error of candidates that are well-formed but that no session can use.
var errNoUse = errors.New("candidate of another transport, component or type")

// ParseCandidate reads a line and checks every field. Foundation, priority and related
// address are then ignored: each end computes the defaults, so an address that is named
// twice is one candidate.
func ParseCandidate(line string) (Candidate, error) {
	bad := func(what string) (Candidate, error) {
		return Candidate{}, fmt.Errorf("candidate %.100q: %s", line, what)
	}
	if len(line) > maxLine {
		return bad(fmt.Sprintf("%d bytes, at most %d are allowed", len(line), maxLine))
	}
	// Faults that the parser of pion/ice lets pass.
	text, named := strings.CutPrefix(line, "candidate:")
	fields := strings.Split(text, " ")
	const foundation, priority, address, typ = 0, 3, 4, 7
	switch {
	case !named || len(fields) <= typ:
		return bad("it has too few fields")
	case strings.ContainsFunc(line, func(r rune) bool { return r < ' ' || r > '~' }):
		return bad("it has bytes that are not of ASCII text")
	case !ICEChars([]byte(fields[foundation]), 1, 32):
		return bad("the foundation is wrong")
	case strings.Contains(fields[address], "%"):
		return bad("the address has a zone")
	}
	if n, err := strconv.ParseUint(fields[priority], 10, 31); err != nil || n == 0 {
		return bad("the priority is wrong")
	}
	parsed, err := ice.UnmarshalCandidate(line)
	if errors.Is(err, ice.ErrUnknownCandidateTyp) && fields[typ-1] == "typ" {
		return Candidate{}, errNoUse
	}
	if err != nil {
		return bad(err.Error())
	}
	addr, err := netip.ParseAddr(parsed.Address())
	switch {
	case err != nil, addr.Is4In6():
		return bad("the address is wrong")
	case parsed.Port() == 0:
		return bad("the port is wrong")
	}
	kind, err := webrtc.NewICECandidateType(fields[typ])
	if err != nil || kind == webrtc.ICECandidateTypePrflx || !parsed.NetworkType().IsUDP() || parsed.Component() != component {
		return Candidate{}, errNoUse
	}
	return Candidate{Type: kind, Addr: netip.AddrPortFrom(addr, uint16(parsed.Port()))}, nil
}

// AddCandidate appends the candidate that the value of a field describes. One that no session
// can use is left out.
func AddCandidate(candidates []Candidate, value []byte) ([]Candidate, error) {
	c, err := ParseCandidate(string(value))
	switch {
	case errors.Is(err, errNoUse):
		return candidates, nil
	case err != nil:
		return nil, err
	case len(candidates) == MaxCandidates:
		return nil, fmt.Errorf("more than %d candidates", MaxCandidates)
	}
	return append(candidates, c), nil
}

// AppendCandidateFields encodes candidates as fields of parameters.
func AppendCandidateFields(dst []byte, candidates []Candidate) []byte {
	for _, line := range Lines(candidates) {
		dst = AppendField(dst, FieldCandidate, []byte(line))
	}
	return dst
}

// HasRoom reports whether a candidates record has room for these candidates, one more, and a
// relayed one.
func HasRoom(candidates []Candidate, more Candidate) bool {
	all := append(slices.Clip(candidates), more)
	return len(all) < MaxCandidates && len(AppendCandidates(nil, 0, all))+fieldHead+maxOwnLine <= maxCandidatesRecord
}

// WithTURN returns the candidates with this relayed address as their only relayed one. See
// HasRoom for why there is room.
func WithTURN(candidates []Candidate, relayed netip.AddrPort) []Candidate {
	return append(WithoutTURN(candidates), Candidate{Type: webrtc.ICECandidateTypeRelay, Addr: relayed})
}

// WithoutTURN returns the candidates that are not relayed.
func WithoutTURN(candidates []Candidate) []Candidate {
	return slices.DeleteFunc(slices.Clone(candidates), func(c Candidate) bool { return c.Type == webrtc.ICECandidateTypeRelay })
}
