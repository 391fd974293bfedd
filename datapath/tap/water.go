package tap

import (
	"errors"
	"os"

	"github.com/songgao/water"
	"golang.org/x/sys/unix"
)

// openWater makes a TAP whose frames come without a header of the kernel's.
func openWater(name string) (*os.File, error) {
	tap, err := water.New(water.Config{
		DeviceType:             water.TAP,
		PlatformSpecificParams: water.PlatformSpecificParams{Name: name},
	})
	if err != nil {
		return nil, err
	}
	file, ok := tap.ReadWriteCloser.(*os.File)
	if !ok {
		return nil, errors.Join(errors.New("the library gives no file"), tap.Close())
	}
	if err := closeOnExec(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}

// closeOnExec keeps child processes from inheriting the descriptor, which the
// library forgets: a TAP lives as long as anybody holds it.
func closeOnExec(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var errno error
	if err := raw.Control(func(fd uintptr) { _, errno = unix.FcntlInt(fd, unix.F_SETFD, unix.FD_CLOEXEC) }); err != nil {
		return err
	}
	return errno
}
