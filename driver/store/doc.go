// Package store keeps the driver's objects on disk, one file each, so that a
// process that starts anew knows what Docker will not tell it again.
//
// A file is replaced as a whole: written beside its place, synced, renamed, and the
// folder synced; a crash leaves the old object or the new one. Its content carries
// a version and a checksum. What is damaged at the start is set aside under
// NAME.corrupt-TIME, what is of a newer version or not given by the disk stays; both
// are reported, and never keep the rest from being loaded.
//
// The layout is DIR/KIND/HASH.json, where HASH is derived from the object's opaque
// ID. Methods may be called at once, except for two calls about the same object.
package store
