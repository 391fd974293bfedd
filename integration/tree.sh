#!/bin/sh
# Makes the unpacked Debian 12 tree in which every machine of the testbed and every
# component test has its root: Docker, Open vSwitch, an XMPP server, a TURN server and tools.
# Nothing of it is installed, started or enabled on this machine.
#
#   integration/tree.sh            makes it, or does nothing when it is up to date
#
#   EVIO_TREE    where it lives; default /var/cache/evio/tree
#   EVIO_MIRROR  Debian mirror; default: the first one that apt knows here
#
# The tree is built beside its place and renamed into it, so it is whole or absent. A changed
# list of packages makes a new one; let no test run then, its root would change beneath it.
set -eu

suite=bookworm
packages='
  docker.io docker-compose openvswitch-switch
  prosody lua-unbound ejabberd coturn
  iptables nftables iproute2 iputils-ping conntrack ethtool tcpdump
  iperf3 socat curl jq procps busybox-static openssl ca-certificates
'
tree=${EVIO_TREE:-/var/cache/evio/tree}
want=$(echo "$suite" $packages | sha256sum | cut -d' ' -f1)

say() { echo "tree: $*" >&2; }
current() { [ "$(cat "$tree/etc/evio-tree" 2>/dev/null)" = "$want" ]; }

current && exit 0
[ "$(id -u)" = 0 ] || { say "run it as root: it makes a root file system with device files"; exit 1; }
mkdir -p "$(dirname "$tree")"
exec 9>"$tree.lock"
flock 9
current && exit 0
rm -rf --one-file-system "$tree.new" "$tree.old" # of a build that was killed

install=
command -v debootstrap >/dev/null || install="$install debootstrap"
command -v ip >/dev/null || install="$install iproute2"
if [ -n "$install" ]; then
  say "installing$install"
  apt-get update -q >&2
  DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $install >&2
fi

mirror=${EVIO_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' | head -n 1)}
case $mirror in
  http://* | https://* | file:/*) ;;
  *) say "apt names no mirror that debootstrap can use ('$mirror'): set EVIO_MIRROR to a Debian mirror"; exit 1 ;;
esac

say "building $tree, about 90 s"
log=$tree.log
# The mounts and processes of the build end with it, however it ends.
unshare --mount --pid --fork --kill-child --propagation private \
  sh -eu -s "$suite" "$mirror" "$tree.new" $packages >"$log" 2>&1 <<'BUILD' || { tail -n 30 "$log" >&2; say "not built, see $log"; exit 1; }
    suite=$1 mirror=$2 new=$3
    shift 3
    debootstrap --variant=minbase "$suite" "$new" "$mirror"
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # maintainer scripts start no daemon
    chmod 755 "$new/usr/sbin/policy-rc.d"
    printf 'force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n' \
      >"$new/etc/dpkg/dpkg.cfg.d/evio"
    mv "$new/etc/apt/apt.conf.d" "$new/etc/apt/apt.conf.d.own"
    cp -r /etc/apt/apt.conf.d "$new/etc/apt/apt.conf.d" # a proxy, if the host has one
    cp /etc/resolv.conf "$new/etc/resolv.conf"
    mount -t proc proc "$new/proc"
    chroot "$new" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 \
      apt-get -q -y -o APT::Sandbox::User=root install --no-install-recommends "$@"
    chroot "$new" apt-get clean
    rm -rf "$new/etc/apt/apt.conf.d" "$new/var/lib/apt/lists"
    mkdir -p "$new/var/lib/apt/lists/partial"
    mv "$new/etc/apt/apt.conf.d.own" "$new/etc/apt/apt.conf.d"
    : >"$new/etc/resolv.conf"
BUILD
echo "$want" >"$tree.new/etc/evio-tree"
[ ! -e "$tree" ] || mv "$tree" "$tree.old"
mv "$tree.new" "$tree"
rm -rf --one-file-system "$tree.old"
say "ready: $(du -sh "$tree" | cut -f1)"
