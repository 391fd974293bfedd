// Package lab gives the bench its machines: for each system a pair of network namespaces, joined by
// one veth of MTU 1500, and the programs in them. It runs below integration/inroot.sh, whose
// namespaces take everything with them when it ends, however it ends.
package lab
