// Package faults has the end-to-end tests of parts that break or are replaced, and of
// members and sessions that come and go.
package faults
