package session

import (
	"net/netip"
	"sync/atomic"
	"time"
)

// Info is a session's part of the status document.
type Info struct {
	State      State          `json:"state"`
	Local      netip.AddrPort `json:"local"`                 // path, zero while there is none
	Remote     netip.AddrPort `json:"remote"`                //
	LocalType  string         `json:"local_type,omitempty"`  // host, srflx, prflx or relay; what the peer sees
	RemoteType string         `json:"remote_type,omitempty"` //
	Observed   netip.AddrPort `json:"observed"`              // own address as the peer sees it
	AEAD       string         `json:"aead,omitempty"`
	RTT        time.Duration  `json:"rtt_ns"` // smoothed (RFC 6298), 0 before the first answer

	Established  time.Time `json:"established"`
	LastReceived time.Time `json:"last_received"` // last valid record

	TxRecords uint64 `json:"tx_records"`
	RxRecords uint64 `json:"rx_records"`
	TxFrames  uint64 `json:"tx_frames"` // of callers; probes are records only
	RxFrames  uint64 `json:"rx_frames"`
	TxBytes   uint64 `json:"tx_bytes"` // of those frames
	RxBytes   uint64 `json:"rx_bytes"`
	OffPath   uint64 `json:"off_path"` // valid records that came from another address than the path's

	Drops map[string]uint64 `json:"drops,omitempty"`
}

// traffic counts what Info reports.
type traffic struct {
	txRecords, rxRecords atomic.Uint64
	txFrames, rxFrames   atomic.Uint64
	txBytes, rxBytes     atomic.Uint64
	offPath              atomic.Uint64
}

// Info returns a snapshot.
func (s *Session) Info() Info {
	s.mu.Lock()
	state, established := s.state, s.established
	s.mu.Unlock()
	info := Info{
		State:       state,
		Observed:    s.pinger.observed(),
		RTT:         s.pinger.roundTrip(),
		Established: established,
		TxRecords:   s.traffic.txRecords.Load(),
		RxRecords:   s.traffic.rxRecords.Load(),
		TxFrames:    s.traffic.txFrames.Load(),
		RxFrames:    s.traffic.rxFrames.Load(),
		TxBytes:     s.traffic.txBytes.Load(),
		RxBytes:     s.traffic.rxBytes.Load(),
		OffPath:     s.traffic.offPath.Load(),
		Drops:       s.drops.Map(),
	}
	if since := s.lastReceived.Load(); since != 0 {
		info.LastReceived = s.transport.epoch.Add(time.Duration(since))
	}
	if keys := s.keys.Load(); keys != nil {
		info.AEAD = keys.AEAD.String()
	}
	if p := s.path.Load(); p != nil {
		info.Local = netip.AddrPortFrom(p.source.Addr, p.port)
		info.Remote = p.remote
		info.RemoteType = p.remoteType
		info.LocalType = s.localType(p, info.Observed)
	}
	return info
}

// localType names the own end of the path as the peer sees it. The agent's own
// word is of no use: its candidate is always the base.
func (s *Session) localType(p *path, observed netip.AddrPort) string {
	if !observed.IsValid() {
		return p.localType
	}
	if observed.Addr() == p.source.Addr {
		return "host"
	}
	for _, c := range s.own.Candidates {
		if c.Type == Reflexive && c.Addr == observed {
			return "srflx"
		}
	}
	return "prflx"
}
