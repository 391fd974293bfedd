//go:build component

package network

import (
	"strings"
	"testing"

	"evio/datapath/tap"
	"evio/driver/status"
	"evio/overlay/overlaytest"
)

// linkTAP returns what the status says of the TAP of an engine's only link.
func (r *rig) linkTAP() status.TAP {
	for _, n := range r.plane.Networks(r.t.Context()) {
		for _, d := range n.TAPs {
			if d.Node != "" {
				return d
			}
		}
	}
	return status.TAP{}
}

// reach waits until one container reaches another one.
func reach(t *testing.T, from, to *box) {
	t.Helper()
	eventually(t, from.ns+" reaches "+to.ns, func() bool { return from.pingOnce(to.addr4()) == nil })
}

// TestOffloadsOfLinks: a stream between containers of two engines passes the TAPs of their links
// in super-frames, unless one of them may not offload. Then that one's frames are single.
func TestOffloadsOfLinks(t *testing.T) {
	const off = "switched off"
	none := tap.Offloads{Why: off}
	for name, o := range map[string][2]tap.Offloads{
		"on": {tap.AllOffloads, tap.AllOffloads}, "off at the sender": {none, tap.AllOffloads}, "off at the receiver": {tap.AllOffloads, none}, "off": {none, none},
	} {
		t.Run(name, func(t *testing.T) {
			server := overlaytest.New()
			a := makeRig(t, server, "a", 1)
			a.offload = o[0]
			a.run()
			<-a.plane.ready
			b := makeRig(t, server, "b", 2)
			b.offload, b.host = o[1], a.runDir
			b.run()
			server.Befriend(a.jid(), b.jid())
			a.addNetwork("blue")
			b.addNetwork("blue")
			linked(t, a, b)
			one, two := a.box(1), b.box(2)
			one.attach()
			two.attach()
			reach(t, one, two)
			const size = 20 << 20
			transfer(t, one, two, size)
			at, to := a.linkTAP(), b.linkTAP()
			for i, d := range []status.TAP{at, to} {
				want := status.TAPOffload{Checksums: o[i].TCP, TCP: o[i].TCP, Reason: off}
				if o[i].TCP {
					want.Reason = "Open vSwitch in user space does not know the segmentation of UDP"
				}
				if d.Offload != want {
					t.Errorf("offloads of %s: %+v, want %+v", d.Device, d.Offload, want)
				}
			}
			if at.ReadSegments < size/testMTU || to.WrittenSegments < size/testMTU {
				t.Errorf("%d segments left, %d came", at.ReadSegments, to.WrittenSegments)
			}
			merged := o[0].TCP && o[1].TCP // what a sender's kernel has finished stays as it is
			if o[0].TCP != (at.ReadFrames < at.ReadSegments/4) || merged != (to.WrittenFrames < to.WrittenSegments) {
				t.Errorf("%d frames and %d segments left, %d and %d came", at.ReadFrames, at.ReadSegments, to.WrittenFrames, to.WrittenSegments)
			}
			t.Logf("system calls at the TAPs: %d to send, %d to receive %d MiB", at.Reads+at.Writes, to.Reads+to.Writes, size>>20)
			for _, r := range []*rig{a, b} {
				for _, n := range r.plane.Networks(t.Context()) {
					if n.Drops["tap-offload"]+n.Drops["tap-length"]+n.Drops["switch-offload"]+n.Drops["switch-too-long"] > 0 {
						t.Errorf("drops of %s: %v", r.name, n.Drops)
					}
				}
			}
		})
	}
}

// TestHostSwitchWithOtherSettings: links leave to the host's switch what it does since it was
// started last.
func TestHostSwitchWithOtherSettings(t *testing.T) {
	h := newHostSwitch(t)
	server := overlaytest.New()
	a, b := newRigOn(t, server, "a", 1, h), newRigOn(t, server, "b", 2, h)
	server.Befriend(a.jid(), b.jid())
	a.addNetwork("blue")
	b.addNetwork("blue")
	linked(t, a, b)
	one, two := a.box(1), b.box(2)
	one.attach()
	two.attach()
	transfer(t, one, two, 5<<20)
	if d := a.linkTAP(); d.Offload.TCP || !strings.Contains(d.Offload.Reason, "userspace-tso-enable=true") || d.ReadFrames != d.ReadSegments {
		t.Errorf("without the setting: %+v", d)
	}
	for _, setting := range []string{"true", "false"} {
		h.vsctl("--no-wait", "set", "Open_vSwitch", ".", "other_config:userspace-tso-enable="+setting)
		end(h.sw)
		h.startSwitch()
		eventually(t, "links offload: "+setting, func() bool {
			return a.linkTAP().Offload.TCP == (setting == "true") && b.linkTAP().Offload.TCP == (setting == "true")
		})
		reach(t, one, two)
		transfer(t, one, two, 5<<20)
	}
	for _, r := range []*rig{a, b} {
		for _, n := range r.plane.Networks(t.Context()) {
			if n.Repairs["device"] > 0 {
				t.Errorf("repairs of %s, where nobody has deleted a device: %v", r.name, n.Repairs)
			}
		}
	}
}
