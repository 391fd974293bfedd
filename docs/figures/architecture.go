package main

// architecture draws one engine with one network: who calls whom, and where frames go.
func architecture() []byte {
	d := &drawing{width: 1100, height: 758}

	d.box("outside", 40, 20, 220, 62, "Docker engine", "asks: create network, join, leave")
	d.box("outside", 800, 20, 260, 62, "XMPP server", "roster, presence, first contact only")

	d.box("process", 20, 130, 1060, 350, "")
	d.text("title", 360, 151, "evio process, one per engine")
	d.box("driver", 40, 165, 220, 96, "driver", "Docker's calls, idempotent", "networks and endpoints on disk", "runs them again after a start")
	d.box("driver", 360, 165, 270, 96, "driver/network", "per network: desired bridge, node,", "fabric port, one link per peer", "the only place that knows both sides")
	d.box("overlay", 740, 165, 320, 96, "overlay: one Node per network", "contact, control, symphony, flood,", "directory: owned by one goroutine", "member, signal: shared by all nodes")
	d.box("datapath", 360, 370, 120, 84, "fabric TAP", "what no flow", "decides")
	d.box("datapath", 510, 370, 120, 84, "link TAPs", "one per peer")
	d.box("datapath", 740, 370, 320, 84, "datapath/session: one Transport", "ICE, DTLS 1.2, records, probes", "one UDP socket for all networks")

	d.box("datapath", 40, 560, 590, 84, "Open vSwitch bridge (one per network)",
		"ports: containers, fabric, links; fail_mode=secure, nothing learned, no controller", "anti-spoofing and forwarding are flows, applied as one bundle")
	d.box("outside", 40, 690, 120, 48, "container", "eth0")
	d.box("outside", 190, 690, 120, 48, "container", "eth0")
	d.box("outside", 740, 560, 320, 84, "other sites", "the same process behind other NATs;", "each network has its own sessions and keys")

	d.arrow(150, 82, 150, 165)
	d.text("note", 160, 112, "plugin sockets")
	d.arrow(260, 213, 360, 213)
	d.text("note", 282, 205, "Plane")
	d.way(630, 195, 740, 195)
	d.text("note", 640, 187, "Claim, Table")
	d.text("note", 640, 228, "Sessions, Fabric")
	d.arrow(740, 236, 630, 236)
	d.way(930, 82, 930, 165)
	d.text("note", 940, 112, "TLS; presence, messages")

	d.arrow(380, 261, 380, 300, 310, 300, 310, 560)
	d.text("note", 124, 400, "datapath/ovs: desired state,")
	d.text("note", 124, 417, "one database transaction,")
	d.text("note", 124, 434, "one bundle of flows")

	d.way(420, 261, 420, 370)
	d.text("note", 428, 318, "answers,")
	d.text("note", 428, 335, "broadcasts")
	d.way(570, 261, 570, 370)
	d.text("note", 578, 335, "Data frames")
	d.way(630, 412, 740, 412)
	d.text("note", 640, 404, "records")
	d.way(900, 261, 900, 370)
	d.text("note", 908, 308, "parameters, control,")
	d.text("note", 908, 325, "floods (passed on by")
	d.text("note", 908, 342, "driver/network)")

	d.way(420, 454, 420, 560)
	d.text("note", 428, 520, "fabric port")
	d.way(570, 454, 570, 560)
	d.text("note", 578, 520, "link ports")
	d.way(900, 454, 900, 560)
	d.text("note", 908, 520, "UDP: STUN, handshake, record")

	d.way(100, 644, 100, 690)
	d.text("note", 108, 672, "veth")
	d.way(250, 644, 250, 690)
	d.text("note", 258, 672, "veth")
	return d.bytes()
}
