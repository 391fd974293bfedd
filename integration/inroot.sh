#!/bin/sh
# Runs a command as on a machine of its own: fresh network, mount, PID, IPC and UTS
# namespaces whose root is the unpacked tree (integration/tree.sh) under a tmpfs.
# Everything it started or mounted is gone when it ends.
#
#   integration/inroot.sh COMMAND [ARGUMENT...]
#   go test -tags component -exec "$PWD/integration/inroot.sh" ./datapath/...
#
# The repository and /tmp are visible at their own paths.
set -eu
EVIO_TREE=${EVIO_TREE:-/var/cache/evio/trixie}
EVIO_REPO=$(cd "$(dirname "$0")/.." && pwd)
export EVIO_TREE EVIO_REPO
[ -x "$EVIO_TREE/bin/sh" ] || { echo "inroot: no tree at $EVIO_TREE: run integration/tree.sh first" >&2; exit 1; }
mkdir -p "$EVIO_TREE.mnt"
exec unshare --mount --net --pid --ipc --uts --fork --kill-child --propagation private \
  /bin/sh -eu -c '
    m=$EVIO_TREE.mnt cwd=$PWD
    mount -t tmpfs tmpfs "$m"
    mkdir "$m/up" "$m/work" "$m/root"
    mount -t overlay overlay -o "lowerdir=$EVIO_TREE,upperdir=$m/up,workdir=$m/work" "$m/root"
    r=$m/root
    mount -t proc proc "$r/proc"
    mount -t sysfs sysfs "$r/sys"
    mount --rbind /sys/fs/cgroup "$r/sys/fs/cgroup" 2>/dev/null || :
    mount --rbind /dev "$r/dev"
    mount --bind /tmp "$r/tmp"
    mkdir -p "$r$EVIO_REPO"
    mount --bind "$EVIO_REPO" "$r$EVIO_REPO"
    hostname inroot
    PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    export PATH
    chroot "$r" ip link set lo up
    exec chroot "$r" /bin/sh -c "cd \"\$1\" && shift && exec \"\$@\"" sh "$cwd" "$@"
  ' sh "$@"
