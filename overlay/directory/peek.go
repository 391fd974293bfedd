package directory

import "time"

// Peek returns the key and the sequence number of a record of ours, the zero Key for
// the withdrawal of all of an earlier life, and for what is no record.
func Peek(record []byte) (Key, uint64) {
	c, err := parse(record)
	if err != nil {
		return Key{}, 0
	}
	return c.Key(), c.Sequence
}

// OwnSince returns since when the key of a record is ours, zero if it is not.
func (d *Directory) OwnSince(record []byte) time.Time {
	k, _ := Peek(record)
	w, p := d.wants[k], d.keys[k]
	if w == nil || p == nil || p.holder != d.self {
		return time.Time{}
	}
	return w.held
}
