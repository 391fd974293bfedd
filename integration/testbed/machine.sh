#!/bin/sh
# PID 1 of one machine, in fresh mount, PID, network, UTS and IPC namespaces: puts itself into
# cgroups of its own, makes the root file system, and becomes an init that waits.
# In: LAB (cgroup name of the lab), NAME, TREE (lower directory), DIR (of this machine on the
# host), PROBE (static helper). Says "ready" on stdout.
set -eu
mounts=$(cat /proc/self/mounts)

if [ "${1-}" != boot ]; then
  mount --make-rprivate /
  while read -r _ at type _; do
    case $type in cgroup | cgroup2) ;; *) continue ;; esac
    for group in "$at/$LAB" "$at/$LAB/$NAME"; do
      above=${group%/*}
      for controller in $(cat "$above/cgroup.controllers" 2>/dev/null); do # version 2
        echo "+$controller" >"$above/cgroup.subtree_control" 2>/dev/null || :
      done
      mkdir -p "$group"
      for file in cpuset.cpus cpuset.mems; do # version 1: empty at first, and then closed to all
        [ ! -e "$group/tasks" ] || [ ! -e "$group/$file" ] || cat "$above/$file" >"$group/$file"
      done
    done
    echo 0 >"$at/$LAB/$NAME/cgroup.procs"
  done <<MOUNTS
$mounts
MOUNTS
  # Seen from the namespace made now, these groups are the roots.
  exec unshare --cgroup /bin/sh "$0" boot
fi

mount -t tmpfs -o mode=755 tmpfs "$DIR/root"
mkdir "$DIR/root/upper" "$DIR/root/work" "$DIR/root/merged"
root=$DIR/root/merged
mount -t overlay overlay \
  -o "lowerdir=$TREE,upperdir=$DIR/root/upper,workdir=$DIR/root/work" "$root"

mount -t proc -o nosuid,nodev,noexec proc "$root/proc"
mount -t sysfs -o nosuid,nodev,noexec sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/net" "$root/run/lock" "$root/run/user"
mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
while read -r name major minor; do
  mknod -m 666 "$root/dev/$name" c "$major" "$minor"
done <<'NODES'
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
NODES
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
ln -s fd/0 "$root/dev/stdin"
ln -s fd/1 "$root/dev/stdout"
ln -s fd/2 "$root/dev/stderr"

unified=
case $mounts in *' /sys/fs/cgroup cgroup2 '*) unified=yes ;; esac
[ "$unified" ] || mount -t tmpfs -o mode=755 tmpfs "$root/sys/fs/cgroup"
while read -r _ at type _; do
  case $type:$at in
    cgroup*:/sys/fs/cgroup*)
      [ "$unified" ] || mkdir -p "$root$at"
      mount --bind "$at/$LAB/$NAME" "$root$at"
      ;;
  esac
done <<MOUNTS
$mounts
MOUNTS

# An overlay's upper directory cannot lie on an overlay: the engine's data is on the host's disk.
mkdir -p "$root/var/lib/docker" "$root/lab"
mount --bind "$DIR/docker" "$root/var/lib/docker"
mount --bind "$DIR/share" "$root/lab"
: >"$root/usr/local/bin/probe"
mount --bind "$PROBE" "$root/usr/local/bin/probe"

# runc wants a root that is a mount point of its own, and mount namespaces entered later (nsenter)
# start in it.
cd "$root"
pivot_root . .
umount -l .
cd /
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
mount --make-rshared / # as systemd does: a plugin's slave mounts see what is mounted later
if [ "$unified" ]; then # a group that gives controllers to others has no process of its own
  mkdir -p /sys/fs/cgroup/init
  echo 0 >/sys/fs/cgroup/init/cgroup.procs
  for controller in $(cat /sys/fs/cgroup/cgroup.controllers); do
    echo "+$controller" >/sys/fs/cgroup/cgroup.subtree_control
  done
fi
hostname "$NAME"
ip link set lo up
echo ready
exec env -i "PATH=$PATH" docker-init -- sleep infinity >/dev/null 2>&1 </dev/null
