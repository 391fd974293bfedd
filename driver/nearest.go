package driver

import (
	"maps"
	"slices"
	"strings"
)

// nearest returns the name that a mistyped one most likely means: the least edit
// distance, and at most half of the longer name's length. An option without its
// prefix (mtu, overlay) is taken for the one that ends so.
func nearest(word string, names []string) (string, bool) {
	word = strings.ToLower(word)
	if len(word) > maxOptionName {
		return "", false
	}
	best, least := "", 0
	for _, name := range names {
		if word != "" && strings.HasSuffix(name, "."+word) {
			return name, true
		}
		if d := distance(word, name); best == "" || d < least {
			best, least = name, d
		}
	}
	return best, least*2 <= max(len(word), len(best))
}

// maxOptionName bounds the work for an absurd name.
const maxOptionName = 128

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

// clip bounds foreign text that goes into a sentence.
func clip(text string) string {
	const limit = 80
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "…"
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
