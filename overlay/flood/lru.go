package flood

import "container/list"

// lru is a table of at most max entries; a new one beyond it takes the place of the
// one used longest ago.
type lru[K comparable, V any] struct {
	max     int
	entries map[K]*list.Element
	order   *list.List // of *entry[K, V], the last used in front
}

type entry[K comparable, V any] struct {
	key   K
	value V
}

func newLRU[K comparable, V any](limit int) *lru[K, V] {
	return &lru[K, V]{max: limit, entries: map[K]*list.Element{}, order: list.New()}
}

// find returns the value under key, which does not count as a use.
func (l *lru[K, V]) find(key K) (value V, known bool) {
	e, known := l.entries[key]
	if known {
		value = of[K, V](e).value
	}
	return value, known
}

// get returns the entry of key, a zero one if there was none.
func (l *lru[K, V]) get(key K) *V {
	e, known := l.entries[key]
	switch {
	case known:
		l.order.MoveToFront(e)
	case len(l.entries) < l.max:
		e = l.order.PushFront(&entry[K, V]{key: key})
		l.entries[key] = e
	default:
		e = l.order.Back()
		l.order.MoveToFront(e)
		delete(l.entries, of[K, V](e).key)
		*of[K, V](e) = entry[K, V]{key: key}
		l.entries[key] = e
	}
	return &of[K, V](e).value
}

// of returns what a list element holds; nothing else is put in.
func of[K comparable, V any](e *list.Element) *entry[K, V] { return e.Value.(*entry[K, V]) }
