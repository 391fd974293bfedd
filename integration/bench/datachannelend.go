package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/pion/webrtc/v4"
	"github.com/songgao/water"
)

const (
	dataChannelDevice = "dc0"

	offerFile  = "offer.json" // below the pair's directory
	answerFile = "answer.json"

	// mostBuffered is how many bytes the channel may hold back before frames wait in the TAP's
	// queue. It holds a window's worth; without a bound it grows as long as the sender sends.
	mostBuffered = 1 << 20
)

// dataChannelEnd is one end of dataChannel, a process of its own. The two find each other through
// files, and the candidates of their hosts are all that they have.
func dataChannelEnd(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("datachannel", flag.ContinueOnError)
	side := flags.String("side", "", "`a`, which offers, or b")
	dir := flags.String("dir", "", "`directory` of offer and answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	tap, err := water.New(water.Config{DeviceType: water.TAP, PlatformSpecificParams: water.PlatformSpecificParams{Name: dataChannelDevice}})
	if err != nil {
		return err
	}
	settings := webrtc.SettingEngine{}
	settings.DetachDataChannels()
	settings.SetInterfaceFilter(func(name string) bool { return name == "eth0" })
	settings.SetSCTPMaxReceiveBufferSize(8 << 20)
	settings.EnableSCTPZeroChecksum(true)
	peer, err := webrtc.NewAPI(webrtc.WithSettingEngine(settings)).NewPeerConnection(webrtc.Configuration{})
	if err != nil {
		return err
	}
	ended := make(chan error, 2)
	channel, err := frameChannel(peer)
	if err != nil {
		return err
	}
	channel.OnOpen(func() { carry(channel, tap, ended) })
	if err := exchange(ctx, peer, *side, *dir); err != nil {
		return errors.Join(err, peer.Close())
	}
	select {
	case err = <-ended:
	case <-ctx.Done():
	}
	return errors.Join(err, peer.Close(), tap.Close())
}

// frameChannel loses frames as a cable does: no order, and nothing sent twice. It is known to both
// ends beforehand, so it needs no message to open.
func frameChannel(peer *webrtc.PeerConnection) (*webrtc.DataChannel, error) {
	unordered, once, known, id := false, uint16(0), true, uint16(1)
	return peer.CreateDataChannel("frames", &webrtc.DataChannelInit{
		Ordered: &unordered, MaxRetransmits: &once, Negotiated: &known, ID: &id,
	})
}

// carry moves frames both ways until one fails.
func carry(channel *webrtc.DataChannel, tap *water.Interface, ended chan<- error) {
	raw, err := channel.Detach()
	if err != nil {
		ended <- err
		return
	}
	room := make(chan struct{}, 1)
	channel.SetBufferedAmountLowThreshold(mostBuffered / 2)
	channel.OnBufferedAmountLow(func() {
		select {
		case room <- struct{}{}:
		default:
		}
	})
	go func() { // ends with the process
		frame := make([]byte, 2048)
		for {
			n, err := tap.Read(frame)
			if err == nil {
				_, err = raw.Write(frame[:n])
			}
			if err != nil {
				ended <- fmt.Errorf("to the channel: %w", err)
				return
			}
			if channel.BufferedAmount() > mostBuffered {
				<-room
			}
		}
	}()
	go func() { // ends with the process
		frame := make([]byte, 2048)
		for {
			n, err := raw.Read(frame)
			if err == nil {
				_, err = tap.Write(frame[:n])
			}
			if err != nil && !errors.Is(err, io.ErrShortBuffer) {
				ended <- fmt.Errorf("from the channel: %w", err)
				return
			}
		}
	}()
}

// exchange makes the two ends know each other.
func exchange(ctx context.Context, peer *webrtc.PeerConnection, side, dir string) error {
	offer, answer := filepath.Join(dir, offerFile), filepath.Join(dir, answerFile)
	if side == "a" {
		description, err := peer.CreateOffer(nil)
		if err != nil {
			return err
		}
		if err := tell(peer, description, offer); err != nil {
			return err
		}
		return hear(ctx, peer, answer)
	}
	if err := hear(ctx, peer, offer); err != nil {
		return err
	}
	description, err := peer.CreateAnswer(nil)
	if err != nil {
		return err
	}
	return tell(peer, description, answer)
}

// tell writes the own description once all candidates are in it.
func tell(peer *webrtc.PeerConnection, description webrtc.SessionDescription, file string) error {
	gathered := webrtc.GatheringCompletePromise(peer)
	if err := peer.SetLocalDescription(description); err != nil {
		return err
	}
	<-gathered
	b, err := json.Marshal(peer.LocalDescription())
	if err != nil {
		return err
	}
	return renameio.WriteFile(file, b, 0o600)
}

// hear waits for the other's description.
func hear(ctx context.Context, peer *webrtc.PeerConnection, file string) error {
	for ; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		b, err := os.ReadFile(file) //nolint:gosec // of the bench
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		var description webrtc.SessionDescription
		if err := json.Unmarshal(b, &description); err != nil {
			return err
		}
		return peer.SetRemoteDescription(description)
	}
	return ctx.Err()
}
