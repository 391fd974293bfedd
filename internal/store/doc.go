// Package store keeps objects on disk, one file each, so that a process that starts
// again knows what the one before it knew.
//
// A file is replaced as a whole: written beside its place, synced, renamed, and the
// folder synced; a crash leaves the old object or the new one. Its content carries
// a version and a checksum. What is damaged at the start is set aside under
// NAME.corrupt-TIME. What is of a newer version, or cannot be read from the disk, stays
// in its place. Both are reported, and neither keeps the rest from being loaded. Files of
// an older Format are read, and replaced when their object is written.
//
// The layout is DIR/KIND/HASH.json, where HASH is derived from the object's opaque
// ID. Methods may be called at once, except for two calls about the same object.
package store
