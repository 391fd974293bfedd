// Package path decides which path a session's records take. It holds the machines and the
// encodings that this needs and nothing that waits: no socket, no goroutine, no clock. Times
// are those of the caller, on one clock of its choice.
//
//   - Candidate and Route: an address of a node, and a pair of addresses that datagrams take.
//   - Selector: which route is the current one, and which others are on trial.
//   - Liveness: when to probe the current path, and when the peer counts as dead.
//   - SizeSearch: how large the records may be that the path takes.
//   - CandidateSender and CandidateReceiver: how the ends exchange their candidates once the
//     session is established.
//   - Pinger: which answer belongs to which probe, and how long the round trip takes.
//   - message.go and field.go: the bodies of probe records (docs/PROTOCOL.md).
//
// Each machine belongs to one goroutine at a time. Pinger may be used by several.
package path
