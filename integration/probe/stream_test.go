package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
)

// serve runs a command that prints where it listens first, and returns that
// address, a reader of what it prints later, and a channel of its end.
func serve(t *testing.T, args ...string) (addr string, rest *json.Decoder, ended <-chan error) {
	t.Helper()
	reader, writer := io.Pipe()
	done := make(chan error, 1)
	go func() {
		err := run(t.Context(), writer, args)
		_ = writer.Close()
		done <- err
	}()
	events := json.NewDecoder(reader)
	var ready listening
	if err := events.Decode(&ready); err != nil {
		t.Fatal(err)
	}
	return ready.Listening, events, done
}

func TestCountedStream(t *testing.T) {
	addr, events, ended := serve(t, "count-recv", "-listen", "127.0.0.1:0", "-idle", "300ms")
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"count-send", "-to", addr, "-rate", "1000", "-for", "200ms"}); err != nil {
		t.Fatal(err)
	}
	var sent sentCount
	if err := json.Unmarshal(out.Bytes(), &sent); err != nil || sent.Sent != 200 {
		t.Errorf("sent %s (%v), want 200", out.String(), err)
	}
	var got receivedCount
	if err := events.Decode(&got); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if got.Received != 200 || got.Duplicates != 0 || got.Highest != 199 {
		t.Errorf("received %+v, want 200 numbers up to 199", got)
	}
}

func TestDialogue(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	reader, writer := io.Pipe()
	ended := make(chan error, 1)
	go func() { ended <- run(ctx, writer, []string{"tcp-echo", "-listen", "127.0.0.1:0"}) }()
	var ready listening
	if err := json.NewDecoder(reader).Decode(&ready); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(t.Context(), &out, []string{"tcp-dialogue", "-to", ready.Listening, "-for", "300ms"}); err != nil {
		t.Fatal(err)
	}
	var result dialogueResult
	if err := json.Unmarshal(out.Bytes(), &result); err != nil || result.Answers == 0 {
		t.Errorf("dialogue gave %s (%v), want answers", out.String(), err)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

func TestDialogueFailsWithItsConnection(t *testing.T) {
	addr, _, _ := serve(t, "http-serve", "-listen", "127.0.0.1:0")
	err := run(t.Context(), io.Discard, []string{"tcp-dialogue", "-to", addr, "-for", "5s", "-patience", time.Second.String()})
	if err == nil || !strings.Contains(err.Error(), "after") {
		t.Errorf("a server that is no echo: %v, want a failed dialogue", err)
	}
}
