package main

import (
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// appTag makes a device send all its frames with VLAN tags, and take only those that have them, as
// a VLAN device over it does, which not every kernel has: the device below is left to cut
// super-frames and to finish checksums. Removing the device's qdisc clsact undoes it.
func appTag(_ context.Context, _ *printer, args []string) (err error) {
	flags := flag.NewFlagSet("app-tag", flag.ContinueOnError)
	device := flags.String("dev", "eth0", "`interface`")
	list := flags.String("tags", "8100:10", "EtherType and ID of each `tag`, the outermost first")
	if err := flags.Parse(args); err != nil {
		return err
	}
	var tags []vlanTag
	for text := range strings.SplitSeq(*list, ",") {
		var tag vlanTag
		if _, err := fmt.Sscanf(text, "%x:%d", &tag.kind, &tag.id); err != nil {
			return fmt.Errorf("tag %q: %w", text, err)
		}
		tags = append(tags, tag)
	}
	link, err := netlink.LinkByName(*device)
	if err != nil {
		return err
	}
	index := link.Attrs().Index
	err = netlink.QdiscAdd(&netlink.GenericQdisc{
		QdiscAttrs: netlink.QdiscAttrs{LinkIndex: index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT}, QdiscType: "clsact",
	})
	if err != nil {
		return fmt.Errorf("qdisc clsact of %s: %w", *device, err)
	}
	for parent, program := range map[uint32]asm.Instructions{netlink.HANDLE_MIN_EGRESS: pushTags(tags), netlink.HANDLE_MIN_INGRESS: popTags(tags)} {
		if err := attachProgram(index, parent, program); err != nil {
			return err
		}
	}
	return nil
}

type vlanTag struct{ kind, id uint16 }

func attachProgram(device int, parent uint32, instructions asm.Instructions) (err error) {
	program, err := ebpf.NewProgram(&ebpf.ProgramSpec{Name: "probe_tag", Type: ebpf.SchedCLS, Instructions: instructions})
	if err != nil {
		return fmt.Errorf("load a program: %w", err)
	}
	defer func() { err = errors.Join(err, program.Close()) }()
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: device, Parent: parent, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 1},
		Fd:          program.FD(), Name: "probe_tag", DirectAction: true,
	})
}

const (
	classOK, classDrop = 0, 2 // TC_ACT_OK, TC_ACT_SHOT
	tagOfBuffer        = 24   // vlan_tci of struct __sk_buff
)

func pushTags(tags []vlanTag) asm.Instructions {
	all := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for _, tag := range slices.Backward(tags) {
		all = append(all,
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.Mov.Imm(asm.R2, int32(binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, tag.kind)))),
			asm.Mov.Imm(asm.R3, int32(tag.id)),
			asm.FnSkbVlanPush.Call(),
			asm.JNE.Imm(asm.R0, 0, "drop"))
	}
	return append(all, endings()...)
}

func popTags(tags []vlanTag) asm.Instructions {
	all := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1)}
	for _, tag := range tags {
		all = append(all,
			asm.LoadMem(asm.R0, asm.R6, tagOfBuffer, asm.Word),
			asm.JNE.Imm(asm.R0, int32(tag.id), "drop"),
			asm.Mov.Reg(asm.R1, asm.R6),
			asm.FnSkbVlanPop.Call(),
			asm.JNE.Imm(asm.R0, 0, "drop"))
	}
	return append(all, endings()...)
}

func endings() asm.Instructions {
	return asm.Instructions{
		asm.Mov.Imm(asm.R0, classOK),
		asm.Return(),
		asm.Mov.Imm(asm.R0, classDrop).WithSymbol("drop"),
		asm.Return(),
	}
}
