package resolver

import (
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOrder(t *testing.T) {
	lowest := func(int) int { return 0 }
	highest := func(n int) int { return n - 1 }
	at := func(target string, priority, weight uint16) *net.SRV {
		return &net.SRV{Target: target, Priority: priority, Weight: weight}
	}
	for _, c := range []struct {
		name    string
		records []*net.SRV
		below   func(int) int
		want    []string
	}{
		{"none", nil, lowest, nil},
		{"priorities", []*net.SRV{at("c", 30, 9), at("a", 0, 0), at("b", 10, 0)}, highest, []string{"a", "b", "c"}},
		{"the lowest number draws who has no weight", []*net.SRV{at("heavy", 1, 9), at("none", 1, 0)}, lowest, []string{"none", "heavy"}},
		{"every other number draws by weight", []*net.SRV{at("none", 1, 0), at("heavy", 1, 9)}, highest, []string{"heavy", "none"}},
		{"the sum shrinks", []*net.SRV{at("a", 1, 1), at("b", 1, 2), at("c", 1, 3)}, highest, []string{"c", "b", "a"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			order(c.records, c.below)
			if diff := cmp.Diff(c.want, targets(c.records)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func targets(records []*net.SRV) []string {
	var out []string
	for _, r := range records {
		out = append(out, r.Target)
	}
	return out
}

// TestWeights: three quarters of the weight come first three times in four.
func TestWeights(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const draws = 10_000
	first := map[string]int{}
	for range draws {
		records := []*net.SRV{{Target: "light", Weight: 10}, {Target: "heavy", Weight: 30}, {Target: "none"}}
		order(records, random.IntN)
		first[records[0].Target]++
	}
	if share := float64(first["heavy"]) / draws; share < 0.71 || share > 0.75 {
		t.Errorf("the heavy one came first in %.3f of all draws, want 30 of 41 numbers", share)
	}
	if share := float64(first["none"]) / draws; share < 0.015 || share > 0.035 {
		t.Errorf("the one without weight came first in %.3f of all draws, want 1 of 41 numbers", share)
	}
}

// TestRank: what cannot be reached is tried last.
func TestRank(t *testing.T) {
	local, nowhere := netip.MustParseAddr("127.0.0.1"), netip.MustParseAddr("fe80::1%no-such-device")
	if rank(local) >= rank(nowhere) {
		t.Errorf("127.0.0.1 has rank %d, an address without a way to it %d", rank(local), rank(nowhere))
	}
}

// FuzzOrder orders any records: none is lost or made up, and priorities rise.
func FuzzOrder(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5, 6, 7}, uint64(1))
	f.Fuzz(func(t *testing.T, b []byte, seed uint64) {
		var records []*net.SRV
		for ; len(b) >= 4; b = b[4:] {
			records = append(records, &net.SRV{Priority: uint16(b[0])<<8 | uint16(b[1]&1), Weight: uint16(b[2])<<8 | uint16(b[3])})
		}
		before := slices.Clone(records)
		order(records, rand.New(rand.NewPCG(seed, 0)).IntN)
		for i, r := range records {
			if i > 0 && r.Priority < records[i-1].Priority {
				t.Fatal("priorities fall")
			}
			at := slices.Index(before, r)
			if at < 0 {
				t.Fatal("a record is there twice")
			}
			before = slices.Delete(before, at, at+1)
		}
		if len(before) > 0 {
			t.Fatal("a record is lost")
		}
	})
}
