// Package hostile has the end-to-end tests of adversaries, such as strangers, servers, members,
// neighbours, users of the host and containers, and of secrets and clocks.
package hostile
