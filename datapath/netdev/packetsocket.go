package netdev

import (
	"encoding/binary"
	"fmt"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"
)

// PacketSocket is what the kernel says of a packet socket of this network namespace.
type PacketSocket struct {
	Inode   uint32
	Index   int    // of the device it is bound to; 0: none
	Room    int    // for what was received, in bytes of the kernel's memory
	SendTo  int    // the same for what is sent
	Dropped uint32 // frames for which there was no room; it wraps
	// Header says that frames have one of the kernel's in front of them (PACKET_VNET_HDR), so
	// that they need be neither cut nor finished.
	Header bool
}

// Parts of linux/packet_diag.h and linux/sock_diag.h.
const (
	packetDiagRequest = 20 // bytes of struct packet_diag_req
	packetDiagMessage = 16 // bytes of struct packet_diag_msg
	packetShowInfo    = 1
	packetShowMemory  = 1 << 4
	packetDiagInfo    = 0
	packetInfoFlags   = 20 // place in struct packet_diag_info
	packetInfoHeader  = 1 << 3
	packetDiagMemory  = 6
	memoryReceive     = 1 // places in the array of packetDiagMemory
	memorySend        = 3
	memoryDropped     = 8
)

// PacketSockets lists all packet sockets, in one request.
func PacketSockets() ([]PacketSocket, error) {
	request := nl.NewNetlinkRequest(nl.SOCK_DIAG_BY_FAMILY, unix.NLM_F_DUMP)
	body := make([]byte, packetDiagRequest)
	body[0] = unix.AF_PACKET
	binary.NativeEndian.PutUint32(body[8:], packetShowInfo|packetShowMemory)
	request.AddRawData(body)
	messages, err := request.Execute(unix.NETLINK_SOCK_DIAG, 0)
	if err != nil {
		return nil, fmt.Errorf("list packet sockets: %w", err)
	}
	all := make([]PacketSocket, 0, len(messages))
	for _, m := range messages {
		if len(m) < packetDiagMessage {
			continue
		}
		s := PacketSocket{Inode: binary.NativeEndian.Uint32(m[4:])}
		attributes, err := nl.ParseRouteAttr(m[packetDiagMessage:])
		if err != nil {
			return nil, fmt.Errorf("list packet sockets: %w", err)
		}
		for _, a := range attributes {
			switch {
			case a.Attr.Type == packetDiagInfo && len(a.Value) >= 4:
				s.Index = int(int32(binary.NativeEndian.Uint32(a.Value))) // -1 of a device that is gone
				if len(a.Value) >= packetInfoFlags+4 {
					s.Header = binary.NativeEndian.Uint32(a.Value[packetInfoFlags:])&packetInfoHeader != 0
				}
			case a.Attr.Type == packetDiagMemory && len(a.Value) > 4*memoryDropped:
				s.Room = int(binary.NativeEndian.Uint32(a.Value[4*memoryReceive:]))
				s.SendTo = int(binary.NativeEndian.Uint32(a.Value[4*memorySend:]))
				s.Dropped = binary.NativeEndian.Uint32(a.Value[4*memoryDropped:])
			}
		}
		all = append(all, s)
	}
	return all, nil
}
