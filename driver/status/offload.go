package status

// Offload is whether something is left to the kernel, and why not.
type Offload struct {
	On     bool   `json:"on"`
	Reason string `json:"reason,omitempty"`
}

// TransportOffload is what the process leaves to the kernel at its UDP socket, and whether it
// merges what comes from there.
type TransportOffload struct {
	UDPSend    Offload `json:"udp_send"`    // records that are sent together are cut into datagrams
	UDPReceive Offload `json:"udp_receive"` // datagrams of one sender are handed over together
	Merge      Offload `json:"merge"`       // segments that came together go on as one frame
	// Routes are those on which records were not cut at present, and are sent one by one:
	// their MTU is too small, or their device computes no checksums.
	Routes int `json:"routes"`
}
