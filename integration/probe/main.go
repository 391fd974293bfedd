// Command probe is the end-to-end tests' hand inside containers and hosts: one static binary that
// sends and receives what busybox cannot. It prints one JSON object per event on standard output.
//
//	probe udp-send   -to ADDR:PORT -token T    datagrams, also to broadcast and multicast addresses
//	probe udp-recv   -listen :PORT             every datagram with its source
//	probe name-serve -name N                   answers each datagram with its name
//	probe name-ask   ADDR...                   who has these addresses, all the time
//	probe tcp-echo   -listen :PORT             sends back what it gets
//	probe tcp-check  ADDR:PORT                 succeeds if a connection opens
//	probe tcp-dialogue -to ADDR:PORT           one connection to a tcp-echo, each answer checked
//	probe count-send -to ADDR:PORT             numbered datagrams at a steady rate
//	probe count-recv -listen :PORT             what came of them
//	probe http-serve -listen :PORT -body TEXT  answers every request with the text
//	probe http-get   URL                       prints status and body
//	probe raw-send   -dev IF …                 one Ethernet frame, with whatever addresses one likes
//	probe app-udp-send   -to ADDR:PORT         datagrams as programs send them, also by UDP_SEGMENT
//	probe app-udp-recv   -listen :PORT         how many came, by size
//	probe app-tcp-send   -to ADDR:PORT         one stream, also with long headers
//	probe app-tcp-recv   -listen :PORT         what came of it
//	probe app-frames-recv -dev IF              frames by tags and size
//	probe app-segments    -dev IF              the largest TCP segment that comes
//	probe app-sums        -dev IF              datagrams by the state of their checksums
//	probe app-tag         -dev IF -tags …      all frames with VLAN tags
//	probe stranger   -to JID …                 first contact from an account outside of the roster
//	probe tamper     -listen IF …              captured datagrams again, altered or from elsewhere
//	probe xmpp-account   -control SOCKET …     an account that says what a test tells it to
//	probe xmpp-proxy     -control SOCKET …     an XMPP server that alters, repeats and adds
//	probe hostile-member -control SOCKET …     a member that sends whatever frames a test likes, and lies
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

type command func(ctx context.Context, out *printer, args []string) error

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, os.Args[1:]); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, args []string) error {
	commands := map[string]command{
		"udp-send": udpSend, "udp-recv": udpReceive, "name-serve": nameServe, "name-ask": nameAsk,
		"tcp-echo": tcpEcho, "tcp-check": tcpCheck, "tcp-dialogue": tcpDialogue,
		"count-send": countSend, "count-recv": countReceive,
		"http-serve": httpServe, "http-get": httpGet,
		"app-udp-send": appUDPSend, "app-udp-recv": appUDPReceive,
		"app-tcp-send": appTCPSend, "app-tcp-recv": appTCPReceive,
		"app-frames-recv": appFramesReceive, "app-segments": appSegments, "app-sums": appSums, "app-tag": appTag,
		"raw-send": rawSend, "stranger": stranger, "tamper": tamper,
		"seize": seize, "xmpp-account": xmppAccount, "xmpp-proxy": xmppProxy, "hostile-member": hostileMember,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		return errors.New("name a command: udp-send, udp-recv, name-serve, name-ask, tcp-echo, tcp-check, tcp-dialogue, count-send, count-recv, http-serve, http-get, raw-send, app-udp-send, app-udp-recv, app-tcp-send, app-tcp-recv, app-frames-recv, app-segments, app-sums, app-tag, stranger, tamper, seize, xmpp-account, xmpp-proxy, hostile-member")
	}
	if err := commands[args[0]](ctx, &printer{json.NewEncoder(out)}, args[1:]); err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return nil
}

// printer writes events, one line each, at once.
type printer struct{ encoder *json.Encoder }

func (p *printer) print(event any) error { return p.encoder.Encode(event) }
