// Package clocks measures how far the clock of another node is from this one's, by
// messages over the session with it. An end asks, the other answers with its wall time,
// and half of the time that this took is what the answer is old, give or take as much.
//
// Each end asks for itself. It asks when the session begins, every half a minute, and at
// once when its own clock was set, which it says with the question, so that the other asks
// as well.
//
// Events in, messages out: there is no goroutine, clock or I/O. A Meter belongs to one
// goroutine.
package clocks

import (
	"encoding/binary"
	"errors"
	"time"

	"evio/wall"
)

// A message has at least 9 bytes; what is behind the fields is for later ones, and skipped.
//
//	0   1  1 question, 2 answer, 3 question of an end whose clock was set
//	1   8  number that the asking end gave the question
//	9   8  answer: wall time, Unix time in milliseconds
const (
	question = 1
	answer   = 2
	wasSet   = 3

	questionSize = 1 + 8
	answerSize   = questionSize + 8
)

const (
	// askEvery is how often an end asks.
	askEvery = 30 * time.Second
	// longest is how long an answer may take. What takes longer waited somewhere, and says
	// little.
	longest = 10 * time.Second
)

// ErrMessage is why a message is refused.
var ErrMessage = errors.New("malformed message on clocks")

// Meter measures one other clock, over one session. The zero value goes by this machine's
// clock.
type Meter struct {
	Wall wall.Clock

	number   uint64    // of the last question
	asked    time.Time // when that was; zero: it is answered, or there was none
	due      time.Time // when the next one is; zero: now
	set      bool      // the clock here was, since then
	ahead    time.Duration
	measured bool
}

// Due reports whether it is time to ask.
func (m *Meter) Due(now time.Time) bool { return !now.Before(m.due) }

// Ask returns a question.
func (m *Meter) Ask(now time.Time) []byte {
	m.number++
	kind := byte(question)
	if m.set {
		kind = wasSet
	}
	m.asked, m.due, m.set = now, now.Add(askEvery), false
	return binary.BigEndian.AppendUint64([]byte{kind}, m.number)
}

// Set says that the clock here was set.
func (m *Meter) Set() { m.due, m.set = time.Time{}, true }

// Awaits reports whether a message is the answer to the last question. Whoever bounds what
// the other end may say has bounded that by asking.
func (m *Meter) Awaits(b []byte) bool {
	return len(b) >= answerSize && b[0] == answer && !m.asked.IsZero() && binary.BigEndian.Uint64(b[1:]) == m.number
}

// Take takes a message of the other end. It returns the answer to send if it is a question,
// and reports whether Ahead has news. Kinds that are not known are for later versions.
func (m *Meter) Take(b []byte, now time.Time) (reply []byte, news bool, err error) {
	if len(b) < questionSize || b[0] == answer && len(b) < answerSize {
		return nil, false, ErrMessage
	}
	switch b[0] {
	case question, wasSet:
		if b[0] == wasSet {
			m.due = time.Time{}
		}
		reply = append([]byte{answer}, b[1:questionSize]...)
		return binary.BigEndian.AppendUint64(reply, wall.Milliseconds(m.Wall.Or()(now))), false, nil
	case answer:
		took := now.Sub(m.asked)
		if !m.Awaits(b) || took > longest {
			return nil, false, nil
		}
		m.asked = time.Time{}
		theirs := wall.FromMilliseconds(binary.BigEndian.Uint64(b[questionSize:]) & (1<<62 - 1)).Add(took / 2)
		m.ahead, m.measured = theirs.Sub(m.Wall.Or()(now)), true
		return nil, true, nil
	}
	return nil, false, nil
}

// Ahead returns how far the other clock is ahead of this one, negative if it is behind. It
// reports false while that was not measured.
func (m *Meter) Ahead() (time.Duration, bool) { return m.ahead, m.measured }
