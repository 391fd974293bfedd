package connect

import (
	"encoding/binary"
	"errors"
	"fmt"

	"evio/datapath/record"
	"evio/datapath/session/path"
)

// Versions of the protocol between sessions that this code speaks.
const (
	MinVersion = 2
	MaxVersion = 2
)

const (
	// MaxParameters is the size of the largest encoding of parameters, in bytes.
	MaxParameters = 6 << 10

	parametersFormat = 1
	// MaxLocation is the length of the longest location, in bytes.
	MaxLocation = 255
	maxAEADs    = 16
)

// Lengths of ICE credentials. The lower bounds are those of RFC 8445 section
// 5.3, the upper ones our own.
const (
	minUfrag, maxUfrag       = 4, 32
	minPassword, maxPassword = 22, 64
)

// Encryption is what an end demands of paths other than records.
type Encryption uint8

// Encryption policies.
const (
	EncryptionPreferred Encryption = 0
	EncryptionRequired  Encryption = 1 // never a path in clear text
)

// Parameters are what the ends send each other before they connect.
type Parameters struct {
	MinVersion, MaxVersion uint16
	Index                  uint32 // what the peer puts into datagrams for this session
	Ufrag, Password        string
	Candidates             []path.Candidate
	AEADs                  []record.AEAD // preferred first
	Encryption             Encryption
	Location               string // where the node stands, as its operator names it
	Secret                 bool   // the keys are made with an overlay secret
}

// Field types. A reader skips those it does not know.
const (
	fieldVersions = 1
	fieldIndex    = 2
	fieldUfrag    = 3
	fieldPassword = 4
	// 5 is path.FieldCandidate, which may be repeated
	fieldAEADs      = 6
	fieldEncryption = 7
	fieldLocation   = 8
	fieldSecret     = 9

	lastField = fieldSecret
)

// Append encodes the parameters: a byte of format, then fields of {type (1),
// length (2), value}.
func (p Parameters) Append(dst []byte) []byte {
	dst = append(dst, parametersFormat)
	var b [4]byte
	binary.BigEndian.PutUint16(b[:], p.MinVersion)
	binary.BigEndian.PutUint16(b[2:], p.MaxVersion)
	dst = path.AppendField(dst, fieldVersions, b[:])
	binary.BigEndian.PutUint32(b[:], p.Index)
	dst = path.AppendField(dst, fieldIndex, b[:])
	dst = path.AppendField(dst, fieldUfrag, []byte(p.Ufrag))
	dst = path.AppendField(dst, fieldPassword, []byte(p.Password))
	dst = path.AppendCandidateFields(dst, p.Candidates)
	aeads := make([]byte, len(p.AEADs))
	for i, a := range p.AEADs {
		aeads[i] = byte(a)
	}
	dst = path.AppendField(dst, fieldAEADs, aeads)
	dst = path.AppendField(dst, fieldEncryption, []byte{byte(p.Encryption)})
	if p.Location != "" {
		dst = path.AppendField(dst, fieldLocation, []byte(p.Location))
	}
	secret := byte(0)
	if p.Secret {
		secret = 1
	}
	dst = path.AppendField(dst, fieldSecret, []byte{secret})
	return dst
}

// ParseParameters decodes and checks parameters.
func ParseParameters(b []byte) (Parameters, error) {
	if len(b) > MaxParameters {
		return Parameters{}, fmt.Errorf("parameters have %d bytes, at most %d are allowed", len(b), MaxParameters)
	}
	if len(b) == 0 || b[0] != parametersFormat {
		return Parameters{}, errors.New("parameters have an unknown format")
	}
	var p Parameters
	var seen [lastField + 1]bool
	for b = b[1:]; len(b) > 0; {
		if len(b) < 3 || int(binary.BigEndian.Uint16(b[1:])) > len(b)-3 {
			return Parameters{}, errors.New("parameters are cut short")
		}
		typ, value := b[0], b[3:3+int(binary.BigEndian.Uint16(b[1:]))]
		b = b[3+len(value):]
		if typ == 0 || typ > lastField {
			continue
		}
		if seen[typ] && typ != path.FieldCandidate {
			return Parameters{}, fmt.Errorf("parameter %d is given twice", typ)
		}
		seen[typ] = true
		if err := p.set(typ, value); err != nil {
			return Parameters{}, err
		}
	}
	for _, typ := range []byte{fieldVersions, fieldIndex, fieldUfrag, fieldPassword, fieldAEADs} {
		if !seen[typ] {
			return Parameters{}, fmt.Errorf("parameter %d is missing", typ)
		}
	}
	return p, nil
}

func (p *Parameters) set(typ byte, value []byte) (err error) {
	bad := func() error { return fmt.Errorf("parameter %d has a bad value", typ) }
	switch typ {
	case fieldVersions:
		if len(value) != 4 {
			return bad()
		}
		p.MinVersion, p.MaxVersion = binary.BigEndian.Uint16(value), binary.BigEndian.Uint16(value[2:])
		if p.MinVersion == 0 || p.MaxVersion < p.MinVersion {
			return bad()
		}
	case fieldIndex:
		if len(value) != 4 {
			return bad()
		}
		if p.Index = binary.BigEndian.Uint32(value); p.Index == 0 {
			return bad()
		}
	case fieldUfrag:
		if !path.ICEChars(value, minUfrag, maxUfrag) {
			return bad()
		}
		p.Ufrag = string(value)
	case fieldPassword:
		if !path.ICEChars(value, minPassword, maxPassword) {
			return bad()
		}
		p.Password = string(value)
	case path.FieldCandidate:
		if p.Candidates, err = path.AddCandidate(p.Candidates, value); err != nil {
			return fmt.Errorf("parameter %d: %w", typ, err)
		}
	case fieldAEADs:
		if len(value) == 0 || len(value) > maxAEADs {
			return bad()
		}
		for _, a := range value {
			p.AEADs = append(p.AEADs, record.AEAD(a))
		}
	case fieldEncryption:
		if len(value) != 1 || Encryption(value[0]) > EncryptionRequired {
			return bad()
		}
		p.Encryption = Encryption(value[0])
	case fieldLocation:
		if len(value) == 0 || len(value) > MaxLocation {
			return bad()
		}
		p.Location = string(value)
	case fieldSecret:
		if len(value) != 1 || value[0] > 1 {
			return bad()
		}
		p.Secret = value[0] == 1
	}
	return nil
}
