// Package suggest finds the name that a mistyped one most likely means. It is pure.
package suggest

import "strings"

const (
	// maxName bounds the work for an absurd name, in bytes.
	maxName = 128
	// maxEdits is how far a name may be from what was typed: what is farther is
	// another word, and to name it misleads.
	maxEdits = 2
)

// Nearest returns the name that a mistyped one most likely means: the one of the least
// edit distance, which is at most two and at most half of the longer name's length.
func Nearest(word string, names []string) (string, bool) {
	word = strings.ToLower(word)
	if len(word) > maxName {
		return "", false
	}
	best, least := "", maxEdits+1
	for _, name := range names {
		if d := distance(word, name); d < least && d*2 <= max(len(word), len(name)) {
			best, least = name, d
		}
	}
	return best, least <= maxEdits
}

// distance is the Levenshtein distance in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
