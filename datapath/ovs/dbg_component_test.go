//go:build component
package ovs
import ("testing";"time")
func TestDbg(t *testing.T) {
	sc := newScene(t, start(t), "0")
	a := hw(1)
	for _, d := range []time.Duration{0, 100*time.Millisecond} {
	for _, m := range []string{"10.9.9.9","10.1.0.9","10.1.0.8","10.9.9.9","10.9.9.7"} {
		sc.link.send(t, newFrame(sc.peer, a, m).udp4(t, m, "10.1.0.1", 1, 2))
		time.Sleep(d)
	}
	sc.link.send(t, newFrame(sc.peer, a, "end").other(t))
	t.Log(sc.atA.until(t, "end"))
	}
	t.Log(run(t, "ovs-appctl", "-t", sc.s.programs.runDir+"/ovs-vswitchd.ctl", "dpctl/dump-flows"))
	t.Log(run(t, "ovs-appctl", "-t", sc.s.programs.runDir+"/ovs-vswitchd.ctl", "coverage/show"))
}
