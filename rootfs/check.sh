#!/usr/bin/env bash
# Runs what is in a finished plugin's root file system, as the engine would: Open
# vSwitch's programs make a bridge with a port and flows; evio answers on its sockets,
# makes and removes a network on its own Open vSwitch, says what is wrong with a broken
# configuration, and removes its sockets at SIGTERM. In namespaces of its own over a
# copy-on-write view of the root; nothing of it is left on the machine.
#
#   rootfs/check.sh [PLUGIN]      PLUGIN: folder with config.json and rootfs/
set -euo pipefail
export LC_ALL=C

if [ "${1:-}" != --inside ]; then
  here=$(cd "$(dirname "$0")" && pwd)
  plugin=$(cd "${1:-$here/../dist/plugin}" && pwd)
  [ "$(id -u)" = 0 ] || { echo "rootfs/check.sh: run it as root, it makes namespaces" >&2; exit 1; }
  exec unshare --mount --net --pid --ipc --uts --fork --kill-child --propagation private \
    "$0" --inside "$plugin"
fi

plugin=$2
say() { printf 'check: %s\n' "$*"; }
die() { printf 'check: %s\n' "$*" >&2; [ ! -s "$m/evio.log" ] || cat "$m/evio.log" >&2; exit 1; }
# await SECONDS WHAT COMMAND...: until COMMAND succeeds.
await() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$end" ] || die "$what did not happen in time"
    sleep 0.05
  done
}

m=/mnt # hidden in this mount namespace alone
mount -t tmpfs tmpfs "$m"
mkdir "$m/up" "$m/work" "$m/root"
mount -t overlay overlay -o "lowerdir=$plugin/rootfs,upperdir=$m/up,workdir=$m/work" "$m/root"
r=$m/root
mount -t proc proc "$r/proc"
mount -t sysfs sysfs "$r/sys"
mount --rbind /dev "$r/dev"
mkdir -p "$r/host/etc/evio"
ip link set lo up

# 1. Open vSwitch
run() { env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin OVS_RUNDIR=/run/openvswitch "$(command -v chroot)" "$r" "$@"; }
run ovsdb-tool create /etc/openvswitch/conf.db /usr/share/openvswitch/vswitch.ovsschema
run ovsdb-server /etc/openvswitch/conf.db --remote=punix:/run/openvswitch/db.sock --pidfile --detach --no-chdir \
  --log-file=/var/log/openvswitch/ovsdb-server.log -vconsole:off
run ovs-vsctl --no-wait init
run ovs-vsctl --no-wait set Open_vSwitch . other_config:userspace-tso-enable=true
run ovs-vswitchd unix:/run/openvswitch/db.sock --pidfile --detach --no-chdir \
  --log-file=/var/log/openvswitch/ovs-vswitchd.log -vconsole:off
run ovs-vsctl --timeout=10 add-br br0 -- set bridge br0 datapath_type=netdev fail_mode=secure protocols=OpenFlow13,OpenFlow14
ip link add v0 type veth peer name v1
run ovs-vsctl --timeout=10 add-port br0 v0
run ovs-ofctl --bundle -O OpenFlow14 add-flow br0 'in_port=1,actions=drop'
flows=$(run ovs-ofctl -O OpenFlow14 dump-flows br0)
grep -qF actions=drop <<<"$flows" || die "the flow is not in the bridge"
version=$(run ovs-appctl version)
say "${version%%$'\n'*}: bridge, port and flow stand"
run ovs-vsctl --timeout=10 del-br br0
run ovs-appctl --timeout=10 exit
run ovs-appctl --timeout=10 -t ovsdb-server exit

# 2. evio, with the environment of config.json
mapfile -t environment < <(sed -n 's/^ *"name": "\(EVIO_[A-Z0-9_]*\)".*/\1/p' "$plugin/config.json")
declare -A value
while IFS='=' read -r name v; do value[$name]=$v; done < <(
  awk -F'"' '/"name": "EVIO_/ { n = $4 } /"value": / && n != "" { print n "=" $4; n = "" }' "$plugin/config.json")
settings=()
for name in "${environment[@]}"; do settings+=("$name=${value[$name]}"); done
mount -t tmpfs tmpfs "$r/host/run"
mount -t tmpfs tmpfs "$r/host/var/lib"
# call METHOD BODY
call() { curl -sS --max-time 30 --unix-socket "$r/host/run/docker/plugins/evio.sock" -d "$2" "http://plugin/NetworkDriver.$1" | tr -d '\n'; }
# status TEXT: whether TEXT is in the status document.
status() {
  local document
  document=$(curl -sS --max-time 5 --unix-socket "$r/host/run/evio/evio.sock" http://evio/status 2>/dev/null) &&
    grep -qF "$1" <<<"$document"
}
network='{"NetworkID": "check0123456789", "Options": {"com.docker.network.generic": {"evio.overlay": "check"}},
  "IPv4Data": [{"AddressSpace": "LocalDefault", "Pool": "10.9.0.0/24", "Gateway": "10.9.0.1/24"}], "IPv6Data": []}'
for state in missing broken; do
  [ "$state" = missing ] || echo '{' >"$r/host/etc/evio/config.json"
  env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin "${settings[@]}" "$(command -v chroot)" "$r" /bin/evio plugin >"$m/evio.log" 2>&1 &
  pid=$!
  for socket in "$r/run/docker/plugins/evio.sock" "$r/host/run/docker/plugins/evio.sock" "$r/host/run/docker/plugins/evio:latest.sock"; do
    await 5 "a socket at ${socket#"$r"}" test -S "$socket"
    answer=$(curl -sS --max-time 5 --unix-socket "$socket" -X POST http://plugin/NetworkDriver.GetCapabilities)
    case $answer in *'"Scope":"local"'*) ;; *) die "GetCapabilities at ${socket#"$r"}: $answer" ;; esac
  done
  answer=$(call CreateNetwork "$network")
  if [ "$state" = missing ]; then
    [ "$answer" = '{}' ] || die "CreateNetwork: $answer"
    await 10 "the status of Open vSwitch" status '"own": true'
    status '"id": "check0123456789"' || die "the network is not in the status document"
    answer=$(call DeleteNetwork '{"NetworkID": "check0123456789"}')
    [ "$answer" = '{}' ] || die "DeleteNetwork: $answer"
  else
    case $answer in *'correct the JSON there'*) ;; *) die "CreateNetwork with a broken file: $answer" ;; esac
    await 5 "the status of the broken file" status 'correct the JSON there'
  fi
  start=$(date +%s%N)
  kill -TERM "$pid"
  wait "$pid" || die "evio ended with $? after SIGTERM"
  took=$((($(date +%s%N) - start) / 1000000))
  [ "$took" -lt 10000 ] || die "evio took $took ms to end"
  left=$(find "$r/run/docker/plugins" "$r/host/run/docker/plugins" -type s)
  [ -z "$left" ] || die "sockets are left: $left"
  say "$(run /bin/evio version): configuration $state, answers as it should, ended $took ms after SIGTERM"
done
