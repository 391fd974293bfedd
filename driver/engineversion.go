package driver

import (
	"context"
	"fmt"
	"strconv"
	"strings"
)

// engineVersion is the version of the engine. The zero version is unknown, and then
// nothing is refused because of it.
type engineVersion struct {
	major, minor int
	text         string // as the engine reports it
}

// parseEngineVersion reads 28.5.2+dfsg4 and the like. Versions of builds that have no
// number are unknown.
func parseEngineVersion(text string) engineVersion {
	first, rest, _ := strings.Cut(text, ".")
	second, _, _ := strings.Cut(rest, ".")
	major, err := strconv.ParseUint(first, 10, 16)
	minor, err2 := strconv.ParseUint(second, 10, 16)
	if err != nil || err2 != nil || major == 0 {
		return engineVersion{}
	}
	return engineVersion{major: int(major), minor: int(minor), text: clip(text)}
}

// before reports whether the engine is known to be older.
func (v engineVersion) before(o engineVersion) bool {
	return v.major != 0 && (v.major < o.major || v.major == o.major && v.minor < o.minor)
}

func (v engineVersion) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// learnVersion asks the engine for its version and keeps it for the calls, which cannot
// ask: while the engine starts, it answers nobody.
func (w *engineWatch) learnVersion(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	text, err := w.engine.Version(ctx)
	if err != nil {
		return // the lists, which are asked for next, say why
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version = parseEngineVersion(text)
}

// forgetVersion is for an engine that starts: it may be another one than before.
func (w *engineWatch) forgetVersion() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.version = engineVersion{}
}

func (w *engineWatch) engineVersion() engineVersion {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.version
}
