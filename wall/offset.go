//go:build !evioclock

package wall

import "time"

// offset is how far wall time is from the machine's clock.
func offset() time.Duration { return 0 }
