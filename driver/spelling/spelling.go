// Package spelling finds the name that a mistyped one most likely means. It is pure.
package spelling

import "strings"

// maxName bounds the work for an absurd name, in bytes.
const maxName = 128

// Nearest returns the name that a mistyped one most likely means: the least edit
// distance, and at most half of the longer name's length. An option without its
// prefix (mtu, overlay) is taken for the one that ends so.
func Nearest(word string, names []string) (string, bool) {
	word = strings.ToLower(word)
	if len(word) > maxName {
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
