// Package docker has the end-to-end tests of what a user of Docker sees: a federation of
// sites, old and mixed engines, bad input, a registry, a host's edges.
package docker
