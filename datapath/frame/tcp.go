package frame

// Flags of TCP that segments of one super-frame may differ in.
const (
	flagFIN = 0x01
	flagPSH = 0x08
	flagCWR = 0x80
)
