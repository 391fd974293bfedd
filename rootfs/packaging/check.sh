#!/usr/bin/env bash
# Checks the bundle of a plugin: two builds have the same bytes, the checksum is right, the
# installer is whole, and what is in it runs. For this machine's architecture that is all
# of rootfs/check.sh. For another one the programs run in an emulator, which has no packet
# sockets that Open vSwitch could use: there evio starts its own Open vSwitch, a bridge of
# it takes flows, and only ports and thus networks are left out.
#
#   rootfs/packaging/check.sh PLUGIN
#
#   EVIO_QEMU   folder for the emulator; default /var/cache/evio/qemu
set -euo pipefail
export LC_ALL=C

say() { printf 'bundle: %s\n' "$*"; }
die() { printf 'bundle: %s\n' "$*" >&2; [ ! -s "${log-}" ] || cat "$log" >&2; exit 1; }

# --inside ROOT: in namespaces where the kernel runs the emulator by itself.
inside() {
  local r=$1 program version status
  log=$r/tmp/evio.log
  mount -t proc proc "$r/proc"
  mount --rbind /dev "$r/dev"
  mount -t tmpfs tmpfs "$r/host/run"
  mount -t tmpfs tmpfs "$r/host/var/lib"
  ip link set lo up
  run() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "$(command -v chroot)" "$r" "$@" 2>>"$log"; }
  for program in ovs-appctl ovs-ofctl ovs-vsctl ovsdb-tool ovsdb-server ovs-vswitchd; do
    version=$(run "$program" --version) || die "$program --version fails"
  done
  say "all programs of Open vSwitch start: ${version%%$'\n'*}"
  version=$(run /bin/evio help) || die "evio help fails"
  version=$(run /bin/evio version) || die "evio version fails"

  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin EVIO_HOST_PREFIX=/host EVIO_V1_NAMES=evio \
    "$(command -v chroot)" "$r" /bin/evio plugin >>"$log" 2>&1 &
  local pid=$! end=$((SECONDS + 60))
  until status=$(curl -sS --max-time 5 --unix-socket "$r/host/run/evio/evio.sock" http://evio/status 2>&1) &&
    [[ $status == *'"own": true'* ]]; do
    [ "$SECONDS" -lt "$end" ] && kill -0 "$pid" || die "evio has not started its own Open vSwitch: $status"
    sleep 0.1
  done
  status=$(curl -sS --max-time 5 --unix-socket "$r/host/run/docker/plugins/evio.sock" -X POST http://plugin/NetworkDriver.GetCapabilities)
  [[ $status == *'"Scope":"local"'* ]] || die "GetCapabilities: $status"
  local sock
  sock=$(find "$r/run" "$r/host/run" "$r/var" -type s -name db.sock)
  sock=${sock#"$r"}
  [ -n "$sock" ] || die "there is no database socket"
  run ovs-vsctl --db="unix:$sock" --timeout=30 add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure
  local mgmt=${sock%/*}/br0.mgmt
  run ovs-ofctl -O OpenFlow14 add-flow "unix:$mgmt" in_port=1,actions=drop
  status=$(run ovs-ofctl -O OpenFlow14 dump-flows "unix:$mgmt")
  [[ $status == *actions=drop* ]] || die "the flow is not in the bridge: $status"
  kill -TERM "$pid"
  wait "$pid" || die "evio ended with $? after SIGTERM"
  say "$version: starts its own Open vSwitch, answers on its sockets, a bridge takes a flow, ends after SIGTERM"
}

# emulate ARCH COMMAND...: in a user namespace of its own, whose kernel knows the emulator;
# nothing is registered on this machine.
emulate() {
  local arch=$1 folder=${EVIO_QEMU:-/var/cache/evio/qemu} magic program
  shift
  case $arch in
    arm64) program=qemu-aarch64-static magic='\xb7\x00' ;;
    amd64) program=qemu-x86_64-static magic='\x3e\x00' ;;
    *) die "no emulator is known for $arch" ;;
  esac
  if [ ! -x "$folder/usr/bin/$program" ]; then
    say "unpacking qemu-user-static into $folder"
    mkdir -p "$folder"
    (
      cd "$folder"
      download() { apt-get -q download -o APT::Sandbox::User=root qemu-user-static >/dev/null 2>&1; }
      download || { apt-get -q update >/dev/null && download; }
    ) || die "apt has no package qemu-user-static: install it, or give the folder above its usr/bin as EVIO_QEMU"
    for p in "$folder"/qemu-user-static_*.deb; do
      dpkg-deb --fsys-tarfile "$p" | tar -x -C "$folder" ./usr/bin
      rm "$p"
    done
  fi
  # F: the kernel opens the emulator now, so it works in a chroot.
  rule=":evio:M::\\x7fELF\\x02\\x01\\x01\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x00\\x02\\x00$magic"
  rule+=":\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\x00\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xff\\xfe\\xff\\xff\\xff"
  rule+=":$folder/usr/bin/$program:F"
  RULE=$rule timeout 300 unshare --user --map-root-user --mount --net --pid --ipc --uts --fork --kill-child --propagation private \
    sh -euc 'mount -t binfmt_misc binfmt_misc /proc/sys/fs/binfmt_misc
      printf %s "$RULE" >/proc/sys/fs/binfmt_misc/register
      exec "$@"' emulate "$@"
}

if [ "${1-}" = --inside ]; then
  inside "$2"
  exit 0
fi

plugin=${1:?say the folder of the plugin}
here=$(cd "$(dirname "$0")" && pwd)
[ "$(id -u)" = 0 ] || die "run it as root, it makes namespaces"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
first=$("$here/bundle.sh" "$plugin" "$work/1")
second=$("$here/bundle.sh" "$plugin" "$work/2")
cmp "$first" "$second" || die "two builds of the bundle differ"
(cd "$work/1" && sha256sum --quiet -c ./*.sha256) || die "the checksum is wrong"
tar -xzf "$first" -C "$work"
unpacked=$work/$(basename "$first" .tar.gz)
usage=$("$unpacked/install.sh" --help)
[[ $usage == *--bindir* ]] || die "install.sh --help prints: $usage"
cmp "$unpacked/evio" "$unpacked/plugin/rootfs/usr/bin/evio" || die "the command is not the plugin's program"
info=$(go version -m "$unpacked/evio")
arch=$(sed -n 's/^\tbuild\tGOARCH=//p' <<<"$info")
say "$(basename "$first"): $(stat -c %s "$first") bytes, twice the same"

if [ "$arch" = "$(go env GOHOSTARCH)" ]; then
  "$here/../check.sh" "$unpacked/plugin"
else
  emulate "$arch" "$here/check.sh" --inside "$unpacked/plugin/rootfs"
fi
