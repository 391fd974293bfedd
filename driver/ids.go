package driver

import (
	"fmt"
	"strings"
	"unicode/utf8"
)

// maxID bounds an ID in bytes. Docker's are opaque; the longest known have 64.
const maxID = 256

// checkID refuses an ID under which nothing can be kept. Network and endpoint ID
// together, with a slash between, are an endpoint's in the store.
func checkID(noun, id string) error {
	switch {
	case id == "":
		return fmt.Errorf("the request names no %s", noun)
	case len(id) > maxID:
		return fmt.Errorf("the %s's ID has %d bytes: give one of at most %d", noun, len(id), maxID)
	case strings.ContainsRune(id, utf8.RuneError): // two such IDs may be the same one
		return fmt.Errorf("the %s's ID %q is not UTF-8: give one that is", noun, clip(id))
	case strings.Contains(id, "/"):
		return fmt.Errorf("the %s's ID %q has a slash in it: give one without", noun, clip(id))
	}
	return nil
}
