package flood

import "github.com/hashicorp/golang-lru/v2/simplelru"

// lru is a table of the entries that were used last. The zero value of V is an entry that
// nothing is known of.
type lru[K comparable, V any] struct{ *simplelru.LRU[K, *V] }

// newLRU returns a table of at most limit entries, which is positive.
func newLRU[K comparable, V any](limit int) lru[K, V] {
	l, err := simplelru.NewLRU[K, *V](limit, nil)
	if err != nil {
		panic(err)
	}
	return lru[K, V]{l}
}

// peek returns the value under key, which does not count as a use.
func (l lru[K, V]) peek(key K) (value V, known bool) {
	if v, known := l.Peek(key); known {
		return *v, true
	}
	return value, false
}

// entry returns the entry of key, a zero one if there was none.
func (l lru[K, V]) entry(key K) *V {
	v, known := l.Get(key)
	if !known {
		v = new(V)
		l.Add(key, v)
	}
	return v
}
