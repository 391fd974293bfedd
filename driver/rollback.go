package driver

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/sirupsen/logrus"
)

// undoTimeout bounds the undoing of a call, whose own time may be over.
const undoTimeout = 5 * time.Second

// rollback is what a call has to undo, last first, unless it is committed.
type rollback struct {
	log   *logrus.Entry
	steps []func(context.Context) error
}

func (r *rollback) add(step func(context.Context) error) { r.steps = append(r.steps, step) }

func (r *rollback) commit() { r.steps = nil }

// run undoes. It is deferred, so it also runs when the call panics.
func (r *rollback) run(ctx context.Context) {
	if len(r.steps) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	for _, step := range slices.Backward(r.steps) {
		if err := guardedStep(ctx, step); err != nil {
			r.log.WithError(err).Error("a call that failed could not be undone completely")
		}
	}
}

// guardedStep lets a step that panics not keep the others from being undone.
func guardedStep(ctx context.Context, step func(context.Context) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return step(ctx)
}
