#!/bin/sh
# Makes the unpacked Debian trees in which every machine of the testbed and every component
# test has its root: Docker, Open vSwitch, an XMPP server, a TURN server and tools. Nothing of
# them is installed, started or enabled on this machine.
#
#   integration/tree.sh [SUITE...]    makes them, or does nothing for those that are up to date
#
#   trixie       the main tree, with a current engine and compose 2 from Debian's next suite
#   bookworm     the old tree, for sites whose engine is 20.10: no servers in it
#   switch       Open vSwitch of Debian's next suite, of which the plugin is made: 4.0 is the first
#                that lets tunnels inside of containers through (docs/decisions/045-own-open-vswitch-4.0.md)
#
#   EVIO_TREE      where the main tree lives; default /var/cache/evio/trixie
#   EVIO_OLD_TREE  where the old tree lives; default /var/cache/evio/bookworm
#   EVIO_SWITCH_TREE  where the switch's tree lives; default /var/cache/evio/switch
#   EVIO_MIRROR    Debian mirror; default: the first one that apt knows here
#
# Without arguments all are made, at the same time. A tree is built beside its place and renamed
# into it, so it is whole or absent. A changed suite, list of packages or version makes a new one;
# let no test run then, its root would change beneath it.
set -eu

# describe TREE: sets tree, suite, packages, next (the suite of the newer ones) and newer (those, each
# PACKAGE=VERSION). A version that the mirror no longer has is replaced by the one that it has.
describe() {
  packages='
    openvswitch-switch
    iptables nftables iproute2 iputils-ping conntrack ethtool tcpdump
    iperf3 socat curl jq procps busybox-static openssl ca-certificates
  '
  suite=$1
  case $1 in
    trixie)
      tree=${EVIO_TREE:-/var/cache/evio/trixie}
      packages="$packages prosody lua-unbound ejabberd coturn keepalived docker-registry dnsmasq-base"
      # In place of systemd, which docker.io would bring.
      packages="$packages systemd-standalone-sysusers"
      next=forky
      newer='
        docker.io=28.5.2+dfsg4-5 docker-cli=28.5.2+dfsg4-5
        docker-compose=2.40.3-3 containerd=2.1.9+ds1-5
      '
      ;;
    bookworm)
      tree=${EVIO_OLD_TREE:-/var/cache/evio/bookworm}
      packages="$packages docker.io docker-compose"
      next='' newer=''
      ;;
    switch)
      tree=${EVIO_SWITCH_TREE:-/var/cache/evio/switch}
      suite=trixie
      packages='ca-certificates'
      next=forky
      newer='openvswitch-switch=4.0.0-2+b1 openvswitch-common=4.0.0-2+b1'
      ;;
    *) say "no tree is made of '$1': say trixie, bookworm or switch"; return 1 ;;
  esac
  want=$(echo "$1" $packages "$next" $newer | sha256sum | cut -d' ' -f1)
}

say() { echo "tree: $*" >&2; }
current() { [ "$(cat "$tree/etc/evio-tree" 2>/dev/null)" = "$want" ]; }

# make: describe has been called for the tree.
make() {
  mkdir -p "$(dirname "$tree")"
  exec 9>"$tree.lock"
  flock 9
  ! current || return 0
  rm -rf --one-file-system "$tree.new" "$tree.old" # of a build that was killed
  say "building $tree, about 2 min"
  # The mounts and processes of the build end with it, however it ends.
  unshare --mount --pid --fork --kill-child --propagation private \
    sh -eu -s "$suite" "$mirror" "$tree.new" "$next" "$newer" $packages >"$tree.log" 2>&1 <<'BUILD' ||
    suite=$1 mirror=$2 new=$3 next=$4 newer=$5
    shift 5
    debootstrap --variant=minbase "$suite" "$new" "$mirror"
    printf '#!/bin/sh\nexit 101\n' >"$new/usr/sbin/policy-rc.d" # maintainer scripts start no daemon
    chmod 755 "$new/usr/sbin/policy-rc.d"
    printf 'force-unsafe-io\npath-exclude=/usr/share/doc/*\npath-exclude=/usr/share/man/*\npath-exclude=/usr/share/locale/*\n' \
      >"$new/etc/dpkg/dpkg.cfg.d/evio"
    mv "$new/etc/apt/apt.conf.d" "$new/etc/apt/apt.conf.d.own"
    cp -r /etc/apt/apt.conf.d "$new/etc/apt/apt.conf.d" # a proxy, if the host has one
    cp /etc/resolv.conf "$new/etc/resolv.conf"
    mount -t proc proc "$new/proc"
    get() { chroot "$new" env DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8 apt-get -q -y -o APT::Sandbox::User=root "$@"; }
    if [ -n "$next" ]; then
      echo "deb $mirror $next main" >"$new/etc/apt/sources.list.d/next.list"
      printf 'Package: *\nPin: release n=%s\nPin-Priority: 100\n' "$next" >"$new/etc/apt/preferences.d/next"
      get update
      for p in $newer; do
        name=${p%%=*}
        if ! chroot "$new" apt-cache show "$p" >/dev/null 2>&1; then
          echo "replaced: $p"
          p=$name
        fi
        printf '\nPackage: %s\nPin: release n=%s\nPin-Priority: 990\n' "$name" "$next" >>"$new/etc/apt/preferences.d/next"
        set -- "$@" "$p"
      done
    fi
    get install --no-install-recommends "$@"
    chroot "$new" apt-get clean
    rm -rf "$new/etc/apt/apt.conf.d" "$new/var/lib/apt/lists"
    mkdir -p "$new/var/lib/apt/lists/partial"
    mv "$new/etc/apt/apt.conf.d.own" "$new/etc/apt/apt.conf.d"
    : >"$new/etc/resolv.conf"
BUILD
  {
    tail -n 30 "$tree.log" >&2
    say "$tree is not built, see $tree.log"
    return 1
  }
  sed -n 's/^replaced: \(.*\)/tree: the mirror has no \1, its present version is taken/p' "$tree.log" >&2
  echo "$want" >"$tree.new/etc/evio-tree"
  [ ! -e "$tree" ] || mv "$tree" "$tree.old"
  mv "$tree.new" "$tree"
  rm -rf --one-file-system "$tree.old"
  say "$tree is ready: $(du -sh "$tree" | cut -f1)," \
    "$(chroot "$tree" dpkg-query -W -f '${Package} ${Version}, ' docker.io docker-compose openvswitch-switch 2>/dev/null | sed 's/, $//')"
}

[ $# -gt 0 ] || set -- trixie bookworm switch
missing=
for t; do
  describe "$t"
  current || missing="$missing $t"
done
[ -n "$missing" ] || exit 0
[ "$(id -u)" = 0 ] || { say "run it as root: it makes a root file system with device files"; exit 1; }

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

builds=
for t in $missing; do
  (
    describe "$t"
    make
  ) &
  builds="$builds $!"
done
status=0
for b in $builds; do wait "$b" || status=1; done
exit "$status"
