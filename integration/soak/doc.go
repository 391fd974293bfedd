// Package soak has the end-to-end test of what must not grow, or be dropped, while containers
// of several sites send each other all kinds of traffic for a long time.
package soak
