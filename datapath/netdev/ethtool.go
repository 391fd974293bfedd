package netdev

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolValue is struct ethtool_value of linux/ethtool.h.
type ethtoolValue struct {
	cmd  uint32
	data uint32
}

// ethtoolRequest is struct ifreq of linux/if.h with its pointer member.
type ethtoolRequest struct {
	name [unix.IFNAMSIZ]byte
	data unsafe.Pointer
	_    [16]byte
}

// DisableTxChecksum makes the device's owner compute checksums itself, which also
// ends segmentation offload. A bridge in user space without segmentation support
// passes frames on as they are, so a container attached to one must send them
// complete.
func DisableTxChecksum(name string) error {
	if err := CheckName(name); err != nil {
		return err
	}
	if err := setEthtool(name, unix.ETHTOOL_STXCSUM, 0); err != nil {
		return fmt.Errorf("disable checksum offload of %s: %w", name, err)
	}
	return nil
}

func setEthtool(name string, cmd, data uint32) error {
	_, err := ethtool(name, cmd, data)
	return err
}

// ethtool makes one call that takes and gives a single value.
func ethtool(name string, cmd, data uint32) (uint32, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, err
	}
	defer unix.Close(fd) //nolint:errcheck // nothing was written
	value := ethtoolValue{cmd: cmd, data: data}
	request := ethtoolRequest{data: unsafe.Pointer(&value)} //nolint:gosec // the kernel's own layout
	copy(request.name[:MaxName], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&request))) //nolint:gosec // ditto
	if errno != 0 {
		return 0, errno
	}
	return value.data, nil
}
