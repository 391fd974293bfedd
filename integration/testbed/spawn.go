package testbed

import (
	"errors"
	"os/exec"
	"runtime"
	"sync"
	"syscall"
)

// spawner starts every child process of a lab from one OS thread that lives as long as the lab.
// A parent-death signal is bound to the thread that forked, not to the process: started from any
// other thread, a machine would die with a goroutine that happened to end its thread.
type spawner struct {
	requests chan request
	ended    chan struct{}
	once     sync.Once
}

type request struct {
	cmd    *exec.Cmd
	result chan error
}

var errClosed = errors.New("the lab is closed")

func newSpawner() *spawner {
	s := &spawner{requests: make(chan request), ended: make(chan struct{})}
	go s.run() // ends with close
	return s
}

func (s *spawner) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for {
		select {
		case r := <-s.requests:
			r.result <- r.cmd.Start()
		case <-s.ended:
			return
		}
	}
}

// start runs cmd.Start so that the process is killed when this process ends, and out of reach of
// the terminal's Ctrl-C, which is for the owner of the lab to act upon.
func (s *spawner) start(cmd *exec.Cmd) error {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true
	r := request{cmd: cmd, result: make(chan error, 1)} // one: the answer is never waited for twice
	select {
	case s.requests <- r:
		return <-r.result
	case <-s.ended:
		return errClosed
	}
}

func (s *spawner) close() { s.once.Do(func() { close(s.ended) }) }
