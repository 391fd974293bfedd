package status

// TAP is one TAP device: of a link, or of the fabric port. Its counters begin at zero when
// the device is made, which it is again when somebody deletes it.
type TAP struct {
	Device string `json:"device"`
	Node   string `json:"node,omitempty"` // at the other end of the link; empty: it is the fabric port's

	Reads         uint64 `json:"reads"`       // system calls, with those that found nothing
	Writes        uint64 `json:"writes"`      // system calls
	ReadFrames    uint64 `json:"read_frames"` // as the kernel handed them over: one may be many segments
	ReadBytes     uint64 `json:"read_bytes"`  // of frames
	WrittenFrames uint64 `json:"written_frames"`
	WrittenBytes  uint64 `json:"written_bytes"`
}
