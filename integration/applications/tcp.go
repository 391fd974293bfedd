//go:build e2e

package applications

import (
	"fmt"
	"strconv"
	"testing"

	"evio/integration/scenario"
)

// streamBytes is how long a stream is: at 84 Mb/s it takes 0.8 s, at the 0.17 Mb/s of segments
// that a receiver does not take, more than the time it has.
const streamBytes = 8 << 20

// collapsed is below which part of the rate of a plain stream over the same way another stream
// has collapsed. Segments of 488 bytes are 2.8 times as many.
const collapsed = 0.1

// grownAgain undoes an MTU with which the kernel takes IPv6 from a device.
const grownAgain = "ip link set eth0 mtu 1400; sysctl -qw net.ipv6.conf.eth0.disable_ipv6=0; ip address add $to6/64 dev eth0 nodad"

// summing undoes that a container's stack sums all and cuts all itself.
const summing = "ethtool -K eth0 tx off && ethtool -K eth0 tx-checksum-ip-generic on tso on"

// streamRows are what programs send by TCP.
func streamRows() []application {
	return []application{
		{name: "stream", run: stream{}.run},
		{name: "stream by IPv6", run: stream{ipv6: true}.run},
		{name: "receiver with MTU 1200", run: stream{largest: 1200 - 40, to: "ip link set eth0 mtu 1200", undo: grownAgain}.run},
		{name: "receiver with MTU 1280 by IPv6", run: stream{ipv6: true, largest: 1280 - 60, to: "ip link set eth0 mtu 1280", undo: "ip link set eth0 mtu 1400"}.run},
		{name: "receiver that asks for 500", run: stream{largest: 500, to: "ip route replace $from/32 dev eth0 advmss 500", undo: "ip route del $from/32 dev eth0"}.run},
		{name: "40 bytes of IP options", run: stream{options: "ip"}.run},
		{name: "streams both ways", run: bothWays},
		{name: "signed segments", run: stream{options: "md5", slow: true}.run},
		{name: "sender that segments by itself", run: stream{from: "ethtool -K eth0 tso off", undoFrom: "ethtool -K eth0 tso on", slow: true}.run},
		{name: "sender that sums by itself", run: stream{from: "ethtool -K eth0 tx off", undoFrom: summing, slow: true}.run},
		{name: "receiver that joins segments", run: stream{to: "ethtool -K eth0 gro on", undo: "ethtool -K eth0 gro off"}.run},
		{name: "without SACK and time stamps", run: stream{from: "sysctl -qw net.ipv4.tcp_sack=0 net.ipv4.tcp_timestamps=0", undoFrom: "sysctl -qw net.ipv4.tcp_sack=1 net.ipv4.tcp_timestamps=1"}.run},
		{name: "receiver that loses some", run: stream{
			to:   "nft add table ip lose; nft add chain ip lose in '{ type filter hook input priority 0; }'; nft add rule ip lose in tcp dport 5556 numgen random mod 200 0 drop",
			undo: "nft delete table ip lose", slow: true,
		}.run},
		{name: "explicit congestion notification", run: stream{
			from: "sysctl -qw net.ipv4.tcp_ecn=1; nft add table ip ce; nft add chain ip ce out '{ type filter hook output priority 0; }'; " +
				"nft add rule ip ce out tcp dport 5556 ip ecn ect0 numgen random mod 50 0 ip ecn set ce",
			undoFrom: "nft delete table ip ce; sysctl -qw net.ipv4.tcp_ecn=2",
			to:       "sysctl -qw net.ipv4.tcp_ecn=1", undo: "sysctl -qw net.ipv4.tcp_ecn=2",
			slow: true,
		}.run},
	}
}

// bothWays sends a stream each way at once: what is acknowledged by segments with payload makes
// their headers long, with time stamps and what else has come.
func bothWays(t *testing.T, s *applications, w way) tally {
	ear := w.from.ear(t, "app-tcp-recv", "-listen", ":5558", "-for", "8s")
	back := scenario.Enter(t, w.to.Spot, "probe", "app-tcp-send", "-to", w.from.v4+":5558", "-bytes", strconv.Itoa(streamBytes), "-for", "7s")
	came := stream{slow: true}.run(t, s, w)
	<-back.Done() // what it could not send is short at the other end
	var got received
	ear.Wait(t, &got)
	came["back: "+got.String()] = 1
	return came
}

// received is what came of a stream.
type received struct {
	Bytes   int64
	SHA256  string
	Seconds float64
}

func (r received) String() string { return fmt.Sprintf("%d bytes, %.12s", r.Bytes, r.SHA256) }

// stream is one TCP connection that carries streamBytes.
type stream struct {
	ipv6           bool
	options        string // of the probe
	from, undoFrom string // shell commands in the sender's namespace
	to, undo       string // in the receiver's
	largest        int    // segment that the receiver takes; 0: it did not say
	slow           bool   // segments leave the sender one by one, or so on purpose: its rate is not looked at
}

func (c stream) run(t *testing.T, s *applications, w way) tally {
	shell := func(e end, command string) {
		if command != "" {
			e.run(t, "env", "from="+w.from.v4, "to6="+w.to.v6, "sh", "-ec", command)
		}
	}
	shell(w.from, c.from)
	shell(w.to, c.to)
	defer shell(w.from, c.undoFrom)
	defer shell(w.to, c.undo)

	to := w.to.v4 + ":5556"
	if c.ipv6 {
		to = "[" + w.to.v6 + "]:5556"
	}
	var segments *scenario.Job
	if c.largest > 0 {
		j := w.to.ear(t, "app-segments", "-port", "5556")
		segments = &j
	}
	ear := w.to.ear(t, "app-tcp-recv", "-listen", ":5556", "-for", "8s", "-options", c.options, "-from", w.from.v4)
	// A stream that does not end is short at the receiver, which is what is compared.
	w.from.run(t, "sh", "-c", fmt.Sprintf("probe app-tcp-send -to %s -bytes %d -for 7s -options '%s' || :", to, streamBytes, c.options))
	var got received
	ear.Wait(t, &got)
	var cut struct{ Segments, Largest int }
	if segments != nil {
		segments.Wait(t, &cut)
		if cut.Segments == 0 {
			t.Fatal("no segment was seen: the row shows nothing")
		}
	}

	came := tally{got.String(): 1}
	if c.largest > 0 && cut.Largest > c.largest {
		came["segments that are larger than the receiver takes"] = 1
	}
	rate := float64(got.Bytes) * 8 / got.Seconds / 1e6
	plain := "stream over " + w.name + ", IPv6 " + strconv.FormatBool(c.ipv6)
	switch reference, known := s.rates[plain]; {
	case !known:
		s.rates[plain] = rate
	case !c.slow && rate < collapsed*reference:
		came["rate that has collapsed"] = 1
	}
	t.Logf("%s: %.0f Mb/s, segments of up to %d bytes (0: not looked at)", w.name, rate, cut.Largest)
	return came
}
