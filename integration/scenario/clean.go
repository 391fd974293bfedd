package scenario

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"
)

// Clean waits until nothing is left over at any site, and returns how long that took since the
// fault, in milliseconds.
func Clean(t *testing.T, d *Deployment, began time.Time) int64 {
	t.Helper()
	for _, s := range d.Sites {
		UntilContext(t, cleaning, func(ctx context.Context) error {
			left, err := s.Leftovers(ctx)
			if err == nil && len(left) > 0 {
				err = fmt.Errorf("site %s is not clean: %w", s.Name(), errors.Join(asErrors(left)...))
			}
			return err
		})
	}
	return time.Since(began).Milliseconds()
}

// cleaning bounds how long something may be left over.
const cleaning = 15 * time.Second

func asErrors(sentences []string) []error {
	errs := make([]error, len(sentences))
	for i, s := range sentences {
		errs[i] = errors.New(s)
	}
	return errs
}
