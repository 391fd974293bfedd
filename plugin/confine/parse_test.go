package confine

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

const mountinfo = `1 0 0:1 / / rw,relatime - overlay overlay rw,lowerdir=a
2 1 0:2 / /host ro,nosuid - tmpfs tmpfs rw,size=256k
3 2 0:3 / /host/run ro,nosuid,nodev,noexec - tmpfs tmpfs rw
4 3 0:2 /.hidden/folder /host/run/containerd ro - tmpfs tmpfs rw
5 3 0:3 /docker/netns /host/run/docker/netns ro master:7 - tmpfs tmpfs rw
6 5 0:4 net:[4026532001] /host/run/docker/netns/0123 rw master:8 - nsfs nsfs rw
7 2 8:1 /etc /host/etc ro master:1 propagate_from:2 - ext4 /dev/sda1 rw
8 7 0:2 /.hidden/file /host/etc/sha\040dow ro - tmpfs tmpfs rw
9 2 8:1 /var/lib/evio /host/var/lib/evio rw master:1 - ext4 /dev/sda1 rw
10 1 0:9 / /hostile rw - tmpfs tmpfs rw
no mount
11 1 0:9 / /short - tmpfs
`

func TestLookAtMounts(t *testing.T) {
	all, err := parseMounts(strings.NewReader(mountinfo))
	if err != nil {
		t.Fatal(err)
	}
	var got Reach
	got.add("/host", all)
	want := Reach{
		Folders:    []Folder{{"/etc", false}, {"/run", false}, {"/run/docker/netns", false}, {"/var/lib/evio", true}},
		Hidden:     []string{"/etc/sha dow", "/run/containerd"},
		Namespaces: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// FuzzMounts reads anything as a list of mounts.
func FuzzMounts(f *testing.F) {
	f.Add(mountinfo)
	f.Add(`1 1 0:1 \1 \777 rw - a`)
	f.Fuzz(func(_ *testing.T, text string) { _, _ = parseMounts(strings.NewReader(text)) })
}

func TestCapabilitySets(t *testing.T) {
	const status = "Name:\tevio\nCapInh:\t0000000000000000\nCapPrm:\t0000008000003402\nCapEff:\t0000008000003402\nCapBnd:\t0000008000203402\nCapAmb:\t0000000000000000\n"
	held, err := parseHeld(status)
	if err != nil {
		t.Fatal(err)
	}
	want := append(slices.Clone(Needed), "CAP_SYS_ADMIN")
	if diff := cmp.Diff(want, held.list()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(Needed, needed().list()); diff != "" {
		t.Errorf("Needed is not what it is as a set: %s", diff)
	}
	if got := set(1 << 63).list(); !slices.Equal(got, []string{"63"}) {
		t.Errorf("one without a name: %v", got)
	}
	for _, text := range []string{"", "CapEff:\txyz\n", "Name: evio\n"} {
		if _, err := parseHeld(text); err == nil {
			t.Errorf("%q was read as capabilities", text)
		}
	}
}

func TestFates(t *testing.T) {
	f := Folders{
		Prefix: "/host", State: "/var/lib/evio", Writable: []string{"/run/evio"}, Namespaces: []string{"/run/docker/netns"},
		Readable: []string{"/run/docker.sock", "/etc/ssl/private/evio.key", "/var/lib/secrets/evio/password", "/var/lib/alone"},
	}
	for p, want := range map[string]fate{
		"/run": descend, "/run/evio": keep, "/run/evio/ovs": keep, "/run/evio2": hide, "/run/docker": descend, "/run/docker/netns": keep,
		"/run/docker/containerd": hide, "/run/docker.sock": keep, "/run/containerd": hide, "/etc/ssl/private": descend, "/var/lib/docker": hide,
	} {
		if got := f.fateOf(p); got != want {
			t.Errorf("%s: %v, want %v", p, got, want)
		}
	}
	if got := f.hiddenOfEtc(); slices.Contains(got, "/etc/ssl/private") || !slices.Contains(got, "/etc/shadow") {
		t.Errorf("hidden of /etc: %v", got)
	}
	if got := f.outside(); !slices.Equal(got, []string{"/var/lib/secrets/evio"}) {
		t.Errorf("folders of /var/lib: %v", got)
	}
}

// TestNothingUsedIsHidden: whatever is used, neither it, nor what is in it, nor what it lies
// in is hidden; and what is hidden has nothing to do with it.
func TestNothingUsedIsHidden(t *testing.T) {
	name := rapid.SampledFrom([]string{"a", "b", "ab", "a.b"})
	anyPath := rapid.Custom(func(t *rapid.T) string {
		return "/run/" + strings.Join(rapid.SliceOfN(name, 1, 4).Draw(t, "parts"), "/")
	})
	rapid.Check(t, func(t *rapid.T) {
		f := Folders{State: anyPath.Draw(t, "state"), Readable: rapid.SliceOf(anyPath).Draw(t, "readable")}
		p := anyPath.Draw(t, "path")
		related := false
		for _, u := range f.used() {
			related = related || strings.HasPrefix(p+"/", u+"/") || strings.HasPrefix(u+"/", p+"/")
		}
		if hidden := f.fateOf(p) == hide; hidden == related {
			t.Errorf("%s: hidden %t, used are %q", p, hidden, f.used())
		}
	})
}
