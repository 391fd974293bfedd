package session

import (
	"net/netip"
	"slices"
	"sync/atomic"
	"time"

	"github.com/pion/webrtc/v4"

	"evio/datapath/record"
	"evio/datapath/session/path"
)

// Info is a session's part of the status document.
type Info struct {
	State          State          `json:"state"`
	Local          netip.AddrPort `json:"local"`                     // path, zero while there is none
	Remote         netip.AddrPort `json:"remote"`                    //
	Path           string         `json:"path,omitempty"`            // direct or relay, of either end
	Relay          string         `json:"relay,omitempty"`           // own TURN server that carries the path
	RelayTransport string         `json:"relay_transport,omitempty"` // to that server: udp, tcp or tls
	Moves          uint64         `json:"moves"`                     // how often the path has changed
	LocalType      string         `json:"local_type,omitempty"`      // host, srflx, prflx or relay; what the peer sees
	RemoteType     string         `json:"remote_type,omitempty"`     //
	Observed       netip.AddrPort `json:"observed"`                  // own address as the peer sees it
	Candidates     []string       `json:"candidates"`                // own, as the peer gets them (RFC 8839)
	PeerCandidates []string       `json:"peer_candidates"`           // the peer's that are used
	AEAD           string         `json:"aead,omitempty"`
	RTT            time.Duration  `json:"rtt_ns"` // smoothed (RFC 6298), 0 before the first answer

	Opened       time.Time `json:"opened"`
	Established  time.Time `json:"established"`
	LastReceived time.Time `json:"last_received"` // last valid record

	Generation uint8     `json:"generation"` // of the keys in use, modulo 256
	Rekeyed    time.Time `json:"rekeyed"`    // when they replaced others, zero for the first
	Rekeys     uint64    `json:"rekeys"`     // how often keys were replaced

	TxRecords  uint64 `json:"tx_records"`
	RxRecords  uint64 `json:"rx_records"`
	TxFrames   uint64 `json:"tx_frames"` // of callers; probes are records only
	RxFrames   uint64 `json:"rx_frames"`
	RxMerged   uint64 `json:"rx_merged"` // frames that these were merged into, of containers
	TxBytes    uint64 `json:"tx_bytes"`  // of those frames
	RxBytes    uint64 `json:"rx_bytes"`
	FullRecord int    `json:"full_record"` // size of the records that the largest frames of containers become
	Record     int    `json:"record"`      // size of the largest records that the path takes, if less than that
	WholeFrame int    `json:"whole_frame"` // length of the largest frames that go whole in such a record

	OffPath uint64 `json:"off_path"` // valid records that came from another address than the path's

	Drops map[string]uint64 `json:"drops,omitempty"`
}

// traffic counts what Info reports.
type traffic struct {
	txRecords, rxRecords atomic.Uint64
	txFrames, rxFrames   atomic.Uint64
	txBytes, rxBytes     atomic.Uint64
	rxMerged             atomic.Uint64
	offPath              atomic.Uint64
}

// Info returns a snapshot.
func (s *Session) Info() Info {
	s.mu.Lock()
	state, established := s.state, s.established
	own, peer := s.own.Candidates, s.peer
	s.mu.Unlock()
	info := Info{
		State:      state,
		Observed:   s.pinger.Observed(),
		Candidates: path.Lines(own), PeerCandidates: path.Lines(peer),
		RTT:         s.pinger.RoundTrip(),
		Opened:      s.opened,
		Established: established,
		Moves:       s.moves.Load(),
		TxRecords:   s.traffic.txRecords.Load(),
		RxRecords:   s.traffic.rxRecords.Load(),
		TxFrames:    s.traffic.txFrames.Load(),
		RxFrames:    s.traffic.rxFrames.Load(),
		RxMerged:    s.traffic.rxMerged.Load(),
		TxBytes:     s.traffic.txBytes.Load(),
		RxBytes:     s.traffic.rxBytes.Load(),
		OffPath:     s.traffic.offPath.Load(),
		Drops:       s.drops.Map(),
	}
	info.FullRecord = s.full
	if limit := int(s.limit.Load()); limit < record.MaxSize {
		info.Record, info.WholeFrame = limit, record.LargestFrame(limit)
	}
	if since := s.lastReceived.Load(); since != 0 {
		info.LastReceived = s.transport.epoch.Add(time.Duration(since))
	}
	if keys := s.keys.Load(); keys != nil {
		info.AEAD = keys.Current.AEAD.String()
		info.Generation, info.Rekeys, info.Rekeyed = keys.Current.Generation, keys.Switches, keys.Switched
	}
	if p := s.path.Load(); p != nil {
		info.Local, info.Remote, info.Path = p.Local, p.Remote, p.kind()
		info.LocalType, info.RemoteType = s.localType(p, info.Observed), p.remoteType.String()
		if r, ok := p.out.(allocation); ok {
			info.Relay, info.RelayTransport = r.Server(), r.Transport()
		}
	}
	return info
}

// localType names the own end of the path as the peer sees it. The ICE agent does not know
// that: its candidate is always the base.
func (s *Session) localType(p *boundPath, observed netip.AddrPort) string {
	switch {
	case p.TURN:
		return webrtc.ICECandidateTypeRelay.String()
	case !observed.IsValid(), observed.Addr() == p.Local.Addr():
		return webrtc.ICECandidateTypeHost.String()
	case slices.Contains(s.candidates(), path.Candidate{Type: webrtc.ICECandidateTypeSrflx, Addr: observed}):
		return webrtc.ICECandidateTypeSrflx.String()
	}
	return webrtc.ICECandidateTypePrflx.String()
}
