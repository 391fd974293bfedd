package config

import (
	"fmt"
	"strconv"
	"strings"
)

// missing begins the sentence about a setting that is not there.
const missing = "it is missing"

// Fault is one thing that is wrong with what the operator set.
type Fault struct {
	// Source is the file, or empty for the environment.
	Source string
	// Path names the setting, such as "signalling[0].jid" or "EVIO_UDP_PORT"; empty
	// for the file as a whole.
	Path string
	// Text says what is wrong and what to do, in one sentence.
	Text string
}

// Error implements error.
func (f Fault) Error() string {
	parts := make([]string, 0, 3)
	for _, p := range []string{brief(f.Source), f.Path, f.Text} {
		if p != "" {
			parts = append(parts, p)
		}
	}
	return strings.Join(parts, ": ")
}

// Faults is everything that is wrong, in the order of the file. It is an error if
// it is not empty; use [Faults.Err].
type Faults []Fault

// Error implements error: all faults on one line.
func (fs Faults) Error() string {
	texts := make([]string, len(fs))
	for i, f := range fs {
		texts[i] = f.Error()
	}
	return strings.Join(texts, "; ")
}

// Err returns fs as an error, nil if there is none.
func (fs Faults) Err() error {
	if len(fs) == 0 {
		return nil
	}
	return fs
}

func (fs *Faults) add(path, format string, args ...any) {
	*fs = append(*fs, Fault{Path: path, Text: fmt.Sprintf(format, args...)})
}

// shown is how a value that the operator wrote stands in a sentence: in quotes, and no
// longer than a reader needs to find it.
func shown(v string) string {
	const most = 80
	if len(v) <= most {
		return strconv.Quote(v)
	}
	return strconv.Quote(strings.ToValidUTF8(v[:most], "")) + "… (" + strconv.Itoa(len(v)) + " bytes)"
}

// brief is a path for a sentence: of a long one the beginning and the end.
func brief(path string) string {
	const first, last = 60, 100
	if len(path) <= first+last {
		return path
	}
	return strings.ToValidUTF8(path[:first], "") + "…" + strings.ToValidUTF8(path[len(path)-last:], "")
}

// touch reports whether a fault lies at path, within it or around it.
func (fs Faults) touch(path string) bool {
	for _, f := range fs {
		if f.Path == "" || within(f.Path, path) || within(path, f.Path) {
			return true
		}
	}
	return false
}

// within reports whether path is outer or a part of it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// from returns fs with their source set.
func (fs Faults) from(source string) Faults {
	for i := range fs {
		fs[i].Source = source
	}
	return fs
}
