//go:build e2e

package hostile

import (
	"testing"
	"time"
)

// TestHostile tries what strangers, servers and members can do to the running plugin. Each gets
// nothing, moves a counter, and leaves the others their sessions.
func TestHostile(t *testing.T) {
	f := newFederation(t)
	t.Run("alert while connecting", f.alertWhileConnecting)
	f.newMember(t)
	replayedFrom := time.Now()
	t.Run("record", f.records)
	t.Run("record from elsewhere", f.recordFromElsewhere)
	t.Run("alert", f.alerts)
	t.Run("hello", f.hellos)
	t.Run("frames", f.frames)
	t.Run("segments", f.segments)
	t.Run("floods in another's name", f.floodsInAnothersName)
	t.Run("storm", f.storm)
	t.Run("node ID of another", f.nodeIDOfAnother)
	t.Run("outside of the group", f.outsideOfTheGroup)
	t.Run("certificate", f.certificate)
	t.Run("large stanza", f.largeStanza)
	t.Run("payload altered", f.payloadAltered)
	t.Run("changed identity", f.changedIdentity)
	t.Run("payload replayed", func(t *testing.T) { f.payloadReplayed(t, replayedFrom) })
}
