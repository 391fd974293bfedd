//go:build e2e

package hostile

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"evio/integration/scenario"
)

// reply is an answer for an address, as probe name-ask prints it.
type reply struct {
	Address string `json:"address"`
	Name    string `json:"name"`
	At      int64  `json:"at"`
	Silent  int64  `json:"silent_ms"`
}

func (r reply) at() time.Time { return time.Unix(0, r.At) }

// replies reads what an asker has printed so far.
func replies(j scenario.Job) ([]reply, error) {
	out, err := os.ReadFile(j.Log())
	if err != nil {
		return nil, err
	}
	var all []reply
	for line := range strings.Lines(string(out)) {
		var r reply
		if !strings.HasSuffix(line, "\n") {
			break // it is being written
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			return nil, fmt.Errorf("%s printed %q: %w", j.Name, line, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// asking asks all the time, from a container, which MAC address is behind each of the addresses.
func asking(t *testing.T, from scenario.Spot, addresses ...string) scenario.Job {
	t.Helper()
	p, err := from.Site.Start(scenario.Within(t, 10*time.Second), from.Container+"-asks-"+strconv.FormatInt(time.Now().UnixNano(), 10),
		from.Inside(append([]string{"probe", "name-ask"}, addresses...)...)...)
	if err != nil {
		t.Fatal(err)
	}
	return scenario.Job{Process: p, Name: from.Container}
}

// holder is the last answer for an address.
func holder(all []reply, address string) (last reply, err error) {
	for _, h := range all {
		if h.Address == address {
			last = h
		}
	}
	if last.Name == "" {
		err = errors.New("nobody answers for " + address)
	}
	return last, err
}
