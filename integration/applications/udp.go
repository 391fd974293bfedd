//go:build e2e

package applications

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
)

// datagramRows are what programs send by UDP and ICMP.
func datagramRows() []application {
	const udp4, udp6 = false, true
	return []application{
		{name: "one by one", run: datagrams(udp4, 1200, 0, 200)},
		{name: "segments of 1200", run: datagrams(udp4, 12000, 1200, 20)},
		{name: "two full segments", run: datagrams(udp4, 2*1372, 1372, 20)},
		{name: "segments of 500", run: datagrams(udp4, 1000, 500, 20)},
		{name: "segments of 300 and a rest", run: datagrams(udp4, 1300, 300, 20)},
		{name: "less than a segment", run: datagrams(udp4, 500, 1200, 20)},
		{name: "as many segments as there can be", run: datagrams(udp4, 64000, 1000, 20)},
		{name: "segments by IPv6", run: datagrams(udp6, 12000, 1200, 20)},
		{name: "segments and a rest by IPv6", run: datagrams(udp6, 1300, 300, 20)},
		{name: "burst of 1000 full datagrams", run: datagrams(udp4, 1372, 0, 1000)},
		{name: "burst of 1000 small datagrams", run: datagrams(udp4, 100, 0, 1000)},
		{name: "burst of 1000 full datagrams by IPv6", run: datagrams(udp6, 1352, 0, 1000)},
		{name: "datagrams of 65000 bytes", run: datagrams(udp4, 65000, 0, 10)},
		{name: "datagrams of 65000 bytes by IPv6", run: datagrams(udp6, 65000, 0, 10)},
		{name: "pings of 65000 bytes", run: largePings},
		{name: "for a server of DHCP", run: forDHCP},
	}
}

// datagrams sends some calls of size bytes, each cut into segments if that is not 0.
func datagrams(ipv6 bool, size, segment, count int) func(*testing.T, *applications, way) tally {
	return func(t *testing.T, _ *applications, w way) tally {
		to := w.to.v4 + ":5555"
		if ipv6 {
			to = "[" + w.to.v6 + "]:5555"
		}
		ear := w.to.ear(t, "app-udp-recv", "-listen", ":5555", "-first", "2s", "-idle", "500ms")
		every := "0"
		if size > 10000 { // what a socket's buffer holds is not the question
			every = "5ms"
		}
		w.from.run(t, "probe", "app-udp-send", "-to", to, "-size", strconv.Itoa(size), "-segment", strconv.Itoa(segment),
			"-count", strconv.Itoa(count), "-every", every)
		var got struct {
			Sizes   map[int]int
			Damaged int
		}
		ear.Wait(t, &got)
		came := tally{}
		for bytes, n := range got.Sizes {
			came[fmt.Sprintf("%d bytes", bytes)] = n
		}
		if got.Damaged > 0 {
			came["damaged"] = got.Damaged
		}
		return came
	}
}

// largePings need many fragments each way.
func largePings(t *testing.T, _ *applications, w way) tally {
	// Its status says that some were not answered, which the comparison does as well.
	out := w.from.run(t, "sh", "-c", "ping -q -c 5 -i 0.2 -W 2 -s 65000 "+w.to.v4+" || :")
	_, after, ok := strings.Cut(out, "transmitted, ")
	if !ok {
		t.Fatalf("ping printed %q", out)
	}
	answered, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatalf("ping printed %q", out)
	}
	return tally{"answers": answered}
}

// forDHCP sends datagrams whose reader has a packet socket. One that asks the kernel whether a
// checksum is finished takes them over the bridge; from another site those of old programs, which
// do not ask, take them as well.
func forDHCP(t *testing.T, _ *applications, w way) tally {
	const port = "67"
	ear := w.to.ear(t, "app-sums", "-dev", "eth0", "-port", port, "-first", "2s", "-idle", "500ms")
	open := w.to.ear(t, "app-udp-recv", "-listen", ":"+port, "-first", "2s", "-idle", "500ms") // else the port is refused
	w.from.run(t, "probe", "app-udp-send", "-to", w.to.v4+":"+port, "-size", "300", "-count", "20")
	var got struct{ Right, Unfinished, Wrong int }
	ear.Wait(t, &got)
	open.Wait(t, &struct{}{})
	came := tally{"datagrams": got.Right + got.Unfinished}
	if got.Wrong > 0 {
		came["wrong"] = got.Wrong
	}
	if w.name == across && got.Unfinished > 0 {
		came["unfinished"] = got.Unfinished
	}
	return came
}
