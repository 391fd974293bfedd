// Package nat has the end-to-end tests of paths: every pair of kinds of NAT, and paths that
// change under a session.
package nat
