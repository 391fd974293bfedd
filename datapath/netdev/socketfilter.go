package netdev

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
	"golang.org/x/sys/unix"
)

// SocketFilter is a filter for the packet sockets of a switch in user space: it keeps from it
// what it cannot send on. One frame that the kernel refuses takes the rest of its batch
// with it, whosever that is, and a frame that is to be cut in a way that the switch does
// not know disappears without a trace. So both end here, and are counted.
//
// Pass are single frames that fit the MTU, and TCP that is to be cut into segments that
// fit it.
type SocketFilter struct {
	program *ebpf.Program
	counts  *ebpf.Map
}

// Places in a SocketFilter's map.
const (
	filterOffload = iota
	filterTooLong
	filterCounts
)

// Members of struct __sk_buff of linux/bpf.h.
const (
	skbLen         = 0
	skbPacketType  = 4
	skbVLANPresent = 20
	skbVLANProto   = 28
	skbGSOSegments = 164
	skbGSOSize     = 176
)

const (
	etherHeader = 14
	vlanTag     = 4
	tcpCWR      = 0x80
	snapAll     = 1 << 18 // more than a frame can have
)

// NewSocketFilter makes a filter for devices of this MTU.
func NewSocketFilter(mtu int) (*SocketFilter, error) {
	fail := func(err error) (*SocketFilter, error) {
		return nil, fmt.Errorf("make a filter of packet sockets: %w", err)
	}
	if err := CheckMTU(mtu); err != nil {
		return fail(err)
	}
	if err := rlimit.RemoveMemlock(); err != nil { // kernels before 5.11 count maps in it
		return fail(err)
	}
	counts, err := ebpf.NewMap(&ebpf.MapSpec{
		Name: "evio_guard", Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: filterCounts,
	})
	if err != nil {
		return fail(err)
	}
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "evio_guard", Type: ebpf.SocketFilter, License: "", Instructions: socketFilterProgram(counts.FD(), mtu),
	})
	if err != nil {
		return fail(errors.Join(err, counts.Close()))
	}
	return &SocketFilter{program: program, counts: counts}, nil
}

// socketFilterProgram decides over one frame, which begins with its Ethernet header; a tag that
// was in front of it is in the kernel's own fields.
func socketFilterProgram(counts, mtu int) asm.Instructions {
	const (
		skb = asm.R6
		cut = asm.R7 // length of a segment's payload; 0: it is a single frame
		n   = asm.R8
	)
	// The kernel gives the protocol of a tag as it is on the wire.
	tag := int32(binary.NativeEndian.Uint16([]byte{unix.ETH_P_8021Q >> 8, unix.ETH_P_8021Q & 0xff}))
	return asm.Instructions{
		asm.Mov.Reg(skb, asm.R1),
		asm.LoadMem(asm.R0, skb, skbPacketType, asm.Word),
		asm.JEq.Imm(asm.R0, unix.PACKET_OUTGOING, "refuse"), // what the switch sends itself
		asm.LoadMem(cut, skb, skbGSOSize, asm.Word),
		asm.JNE.Imm(cut, 0, "segments"),

		// A tag of 802.1Q may come on top of the MTU, another may not.
		asm.LoadMem(n, skb, skbLen, asm.Word),
		asm.LoadMem(asm.R0, skb, skbVLANPresent, asm.Word),
		asm.JEq.Imm(asm.R0, 0, "length"),
		asm.LoadMem(asm.R0, skb, skbVLANProto, asm.Word),
		asm.JEq.Imm(asm.R0, tag, "length"),
		asm.Add.Imm(n, vlanTag),
		asm.JGT.Imm(n, int32(mtu+etherHeader), "too long").WithSymbol("length"),
		asm.Mov.Imm(asm.R0, snapAll).WithSymbol("pass"),
		asm.Return(),

		asm.LoadAbs(12, asm.Half).WithSymbol("segments"),
		asm.JEq.Imm(asm.R0, unix.ETH_P_IPV6, "IPv6"),
		asm.JNE.Imm(asm.R0, unix.ETH_P_IP, "offload"),
		asm.LoadAbs(etherHeader+9, asm.Byte),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "offload"),
		asm.LoadAbs(etherHeader, asm.Byte),
		asm.And.Imm(asm.R0, 15),
		asm.LSh.Imm(asm.R0, 2),
		asm.Mov.Reg(n, asm.R0), // length of the IP header
		asm.Ja.Label("TCP"),

		asm.Mov.Imm(n, 40).WithSymbol("IPv6"),
		asm.LoadAbs(etherHeader+6, asm.Byte),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_TCP, "TCP"),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_HOPOPTS, "extension"),
		asm.JEq.Imm(asm.R0, unix.IPPROTO_ROUTING, "extension"),
		asm.JNE.Imm(asm.R0, unix.IPPROTO_DSTOPTS, "offload"),
		asm.LoadAbs(etherHeader+40, asm.Byte).WithSymbol("extension"), // one of them
		asm.JNE.Imm(asm.R0, unix.IPPROTO_TCP, "offload"),
		asm.LoadAbs(etherHeader+41, asm.Byte),
		asm.Add.Imm(asm.R0, 1),
		asm.LSh.Imm(asm.R0, 3),
		asm.Add.Reg(n, asm.R0),

		asm.LoadInd(asm.R0, n, etherHeader+13, asm.Byte).WithSymbol("TCP"),
		asm.And.Imm(asm.R0, tcpCWR), // belongs into the first segment only, which the switch does not know
		asm.JNE.Imm(asm.R0, 0, "offload"),
		asm.LoadInd(asm.R0, n, etherHeader+12, asm.Byte),
		asm.RSh.Imm(asm.R0, 4),
		asm.LSh.Imm(asm.R0, 2),
		asm.Add.Reg(n, asm.R0),
		asm.Add.Reg(n, cut), // length of a segment's packet
		asm.JLE.Imm(n, int32(mtu), "pass"),

		asm.Mov.Imm(asm.R7, filterTooLong).WithSymbol("too long"),
		asm.Ja.Label("count"),
		asm.Mov.Imm(asm.R7, filterOffload).WithSymbol("offload"),

		asm.LoadMem(n, skb, skbGSOSegments, asm.Word).WithSymbol("count"),
		asm.JNE.Imm(n, 0, "add"),
		asm.Mov.Imm(n, 1),
		asm.StoreMem(asm.RFP, -4, asm.R7, asm.Word).WithSymbol("add"),
		asm.LoadMapPtr(asm.R1, counts),
		asm.Mov.Reg(asm.R2, asm.RFP),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "refuse"),
		asm.StoreXAdd(asm.R0, n, asm.DWord),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("refuse"),
		asm.Return(),
	}
}

// Attach puts the filter on a packet socket, in place of the one that it has.
func (f *SocketFilter) Attach(socket int) error {
	if err := unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_ATTACH_BPF, f.program.FD()); err != nil {
		return fmt.Errorf("attach a filter to a packet socket: %w", err)
	}
	return nil
}

// Counts returns how many frames were kept from the switch, each segment counted:
// those to be cut in a way that it does not know, and those too long for the MTU.
func (f *SocketFilter) Counts() (offload, tooLong uint64, err error) {
	err = errors.Join(f.counts.Lookup(uint32(filterOffload), &offload), f.counts.Lookup(uint32(filterTooLong), &tooLong))
	if err != nil {
		return 0, 0, fmt.Errorf("read the counters of a filter: %w", err)
	}
	return offload, tooLong, nil
}

// Close gives the filter up; sockets that have it keep it.
func (f *SocketFilter) Close() error { return errors.Join(f.program.Close(), f.counts.Close()) }
