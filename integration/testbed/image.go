package testbed

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
)

// Image is in every engine: busybox, probe, and real ip, ping, iperf3, socat and tcpdump. Run
// containers with --init, or stopping one takes 10 s.
const Image = "evio-test:1"

//go:embed image.sh
var imageScript string

// image is the image's tar, made once per lab.
type image struct {
	once sync.Once
	tar  string
	err  error
}

func (l *Lab) imageTar(ctx context.Context) (string, error) {
	l.image.once.Do(func() {
		m := l.internet
		_, l.image.err = m.Script(ctx, imageScript)
		l.image.tar = filepath.Join(m.Shared(), "image.tar")
	})
	if l.image.err != nil {
		return "", fmt.Errorf("make image %s: %w", Image, l.image.err)
	}
	return l.image.tar, nil
}

func (s *Site) importImage(ctx context.Context) error {
	if _, err := s.Docker(ctx, "image", "inspect", Image); err == nil {
		return nil
	}
	name, err := s.lab.imageTar(ctx)
	if err != nil {
		return err
	}
	tar, err := os.Open(name) //nolint:gosec // a file of ours
	if err != nil {
		return fmt.Errorf("import image: %w", err)
	}
	defer tar.Close() //nolint:errcheck // only read from
	_, err = s.Pipe(ctx, tar, "docker", "import",
		"-c", `CMD ["sleep", "infinity"]`, "-c", "ENV PATH="+searchPath, "-", Image)
	return err
}

// buildProbe builds the helper beside this package into dir.
func buildProbe(ctx context.Context, dir string) (string, error) {
	_, file, _, _ := runtime.Caller(0)
	out := filepath.Join(dir, "probe")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", out, ".") //nolint:gosec // constant except for our directory
	cmd.Dir = filepath.Join(filepath.Dir(file), "..", "probe")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build probe (or set Options.Probe): %w: %s", errors.Join(ctx.Err(), err), tail(string(text)))
	}
	return out, nil
}
