package turn

import (
	"context"
	"time"
)

type outcome[T any] struct {
	value T
	err   error
	index int
}

// race calls try n times at once. Each call begins a head start after the one before, or when
// one fails. race returns the first success, or all errors in order. The contexts of the
// other calls end then; what they still get is discarded. race does not wait for them: spawn
// starts them and keeps track of them.
func race[T any](ctx context.Context, n int, headStart time.Duration, spawn func(func()),
	try func(context.Context, int) (T, error), discard func(T)) (T, []error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	outcomes := make(chan outcome[T])
	begin := func(i int) {
		spawn(func() {
			o := outcome[T]{index: i}
			o.value, o.err = try(ctx, i)
			select {
			case outcomes <- o:
			case <-ctx.Done():
				if o.err == nil {
					discard(o.value)
				}
			}
		})
	}
	var none T
	errs := make([]error, n)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for begun, ended := 0, 0; ended < n; {
		var next <-chan time.Time
		if begun < n {
			next = timer.C
		}
		select {
		case <-ctx.Done():
			return none, []error{ctx.Err()}
		case <-next:
			begin(begun)
			begun++
			timer.Reset(headStart)
		case o := <-outcomes:
			if o.err == nil {
				return o.value, nil
			}
			errs[o.index] = o.err
			ended++
			timer.Reset(0)
		}
	}
	return none, errs
}
