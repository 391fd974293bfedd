package tap

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestSettle: the kernel is asked for less and less until it agrees, and the reason is that of
// its first refusal.
func TestSettle(t *testing.T) {
	const tcp = unix.TUN_F_CSUM | unix.TUN_F_TSO4 | unix.TUN_F_TSO6
	const all = tcp | unix.TUN_F_USO4 | unix.TUN_F_USO6
	for _, c := range []struct {
		name  string
		want  Offloads
		knows uint // what the kernel knows
		asked []uint
		got   Offloads
	}{
		{"all", AllOffloads, all, []uint{all}, AllOffloads},
		{"an old kernel", AllOffloads, tcp, []uint{all, tcp}, Offloads{Checksums: true, TCP: true, Why: "the kernel refuses segmentation of TCP, segmentation of UDP, checksums: invalid argument"}},
		{
			"UDP is not wanted", Offloads{Checksums: true, TCP: true, Why: "the switch"}, all,
			[]uint{tcp},
			Offloads{Checksums: true, TCP: true, Why: "the switch"},
		},
		{
			"nor does it know TCP", Offloads{Checksums: true, TCP: true, Why: "the switch"}, unix.TUN_F_CSUM,
			[]uint{tcp, unix.TUN_F_CSUM},
			Offloads{Checksums: true, Why: "the switch; the kernel refuses segmentation of TCP, checksums: invalid argument"},
		},
		{"nothing", Offloads{Checksums: true}, 0, []uint{unix.TUN_F_CSUM, 0}, Offloads{Why: "the kernel refuses checksums: invalid argument"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var asked []uint
			got, err := settle(c.want, func(o Offloads) error {
				asked = append(asked, o.set())
				if o.set()&^c.knows != 0 {
					return unix.EINVAL
				}
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.got, got); diff != "" {
				t.Error(diff)
			}
			if diff := cmp.Diff(c.asked, asked); diff != "" {
				t.Error(diff)
			}
		})
	}
	if _, err := settle(AllOffloads, func(Offloads) error { return unix.ENOTTY }); !errors.Is(err, unix.ENOTTY) {
		t.Error(err)
	}
}
