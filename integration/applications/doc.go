// Package applications has the end-to-end tests of what applications send: unmodified
// programs that run over evio as they run over a bridge.
package applications
