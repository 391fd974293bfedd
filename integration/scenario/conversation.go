package scenario

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// Conversation is what tcp-dialogue prints each second and when it ends.
type Conversation struct {
	Answers      uint64 `json:"answers"`
	LongestStall int64  `json:"longest_stall_ms"`
}

// GoesOn waits until a dialogue has more answers than now.
func GoesOn(t *testing.T, j Job) {
	t.Helper()
	var before Conversation
	_ = j.Last(&before) // nothing is printed yet: no answers
	began := time.Now()
	err := Await(Within(t, 70*time.Second), func() error {
		var now Conversation
		if err := j.Last(&now); err != nil {
			return err
		}
		if now.Answers <= before.Answers {
			return fmt.Errorf("%d answers, no more than before", now.Answers)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s does not go on: %v", j.Name, err)
	}
	t.Logf("the TCP connection goes on after %v", time.Since(began).Round(time.Millisecond))
}

// moreAnswers waits until a dialogue has two more answers than now. The question of the second
// one was certainly sent later.
func moreAnswers(ctx context.Context, j Job) error {
	var before Conversation
	_ = j.Last(&before) // nothing is printed yet: no answers
	return Await(ctx, func() error {
		var now Conversation
		if err := j.Last(&now); err != nil {
			return err
		}
		if now.Answers <= before.Answers+1 {
			return fmt.Errorf("%d answers, no more than before", now.Answers)
		}
		return nil
	})
}
