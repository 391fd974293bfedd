package status

// TAP is one TAP device: of a link, or of the fabric port. Its counters begin at zero when
// the device is made, which it is again when somebody deletes it, or when the host's switch was
// started with other settings.
type TAP struct {
	Device  string     `json:"device"`
	Node    string     `json:"node,omitempty"` // at the other end of the link; empty: it is the fabric port's
	Offload TAPOffload `json:"offload"`

	// Segments are what frames are on a wire. A frame of the kernel is one of them, or holds
	// many.
	Reads           uint64 `json:"reads"` // system calls, with those that found nothing
	ReadFrames      uint64 `json:"read_frames"`
	ReadSegments    uint64 `json:"read_segments"`
	ReadBytes       uint64 `json:"read_bytes"` // of frames
	Writes          uint64 `json:"writes"`     // system calls
	WrittenFrames   uint64 `json:"written_frames"`
	WrittenSegments uint64 `json:"written_segments"`
	WrittenBytes    uint64 `json:"written_bytes"` // of frames
}

// TAPOffload is what the kernel may leave unfinished in frames of a TAP, and does itself with
// frames that are written to it.
type TAPOffload struct {
	Checksums bool   `json:"checksums"`
	TCP       bool   `json:"tcp"`              // segmentation
	UDP       bool   `json:"udp"`              // segmentation
	Reason    string `json:"reason,omitempty"` // why not all of them
}
