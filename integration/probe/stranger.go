package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"evio/overlay/contact"
	"evio/overlay/nodeid"
	"evio/overlay/signal"
)

// answer is printed for each message the stranger gets.
type answer struct {
	From  string `json:"from"`
	Bytes int    `json:"bytes"`
}

// stranger logs in with an account of its own and sends a node well-formed, rightly
// signed parameters again and again; it prints what comes back.
func stranger(ctx context.Context, out *printer, args []string) error {
	flags := flag.NewFlagSet("stranger", flag.ContinueOnError)
	var own account
	own.flags(flags)
	to := flags.String("to", "", "full `JID` of the engine")
	node := flags.String("node", "", "its node `ID` in the overlay")
	overlay := flags.String("overlay", "", "`name` of the overlay")
	wait := flags.Duration("for", 5*time.Second, "how long to try")
	if err := flags.Parse(args); err != nil {
		return err
	}
	peer, err := nodeid.Parse(*node)
	if err != nil {
		return err
	}
	s := &intruder{out: out, up: make(chan struct{}, 1)}
	client, err := own.client(s, logTo(io.Discard))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *wait)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- client.Run(ctx) }()
	select {
	case <-s.up:
	case <-ctx.Done():
		return fmt.Errorf("log in: %s", client.Status().LastError)
	}
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for sent := 0; ; sent++ {
		now := time.Now()
		envelope, err := contact.Sign(private, *overlay, contact.Envelope{
			To: peer, From: nodeid.FromKey(public, *overlay), Attempt: uint64(now.UnixMilli()),
			Expiry: now.Add(contact.Lifetime), Key: public, Parameters: []byte{1},
		})
		if err != nil {
			return err
		}
		if err := client.Send(ctx, *to, envelope); err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			if err := <-ended; err != nil && ctx.Err() == nil {
				return err
			}
			return out.print(map[string]int{"sent": sent + 1})
		case <-tick.C:
		}
	}
}

// intruder handles what the session of a stranger sees.
type intruder struct {
	out *printer
	up  chan struct{}
}

func (i *intruder) Up(string) {
	select {
	case i.up <- struct{}{}:
	default:
	}
}
func (*intruder) Down(error)                            {}
func (*intruder) Roster([]signal.Item)                  {}
func (*intruder) Presence(string, bool, []byte)         {}
func (*intruder) Room(string, signal.RoomChange)        {}
func (*intruder) Occupant(string, string, bool, []byte) {}

func (i *intruder) Message(from string, payload []byte) {
	if err := i.out.print(answer{From: from, Bytes: len(payload)}); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
	}
}
