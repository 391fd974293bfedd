#!/usr/bin/env bash
# Makes the plugin's root file system: the evio binary, the programs of Open vSwitch
# with the libraries they need, the database schema, the CA roots, and nothing else.
#
#   rootfs/build.sh --binary EVIO --out DIR [--source ROOT] [--limit MB]
#
# ROOT is a Debian root with openvswitch-switch and ca-certificates in it: / on a
# machine that has them, or an unpacked tree (integration/tree.sh). Without --source
# the tree is taken where there is one, else /. Any ROOT but / needs to be root, for
# chroot. DIR is replaced as a whole, and left as it was if anything goes wrong.
# The same inputs and SOURCE_DATE_EPOCH give the same bytes, names and times.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "$0")" && pwd)
tree=${EVIO_TREE:-/var/cache/evio/tree}
binary='' out='' source='' limit=80

programs=(
  /usr/bin/ovs-appctl
  /usr/bin/ovs-ofctl
  /usr/bin/ovs-vsctl
  /usr/bin/ovsdb-tool
  /usr/sbin/ovs-vswitchd
  /usr/sbin/ovsdb-server
)
files=(
  /etc/ssl/certs/ca-certificates.crt
  /usr/share/openvswitch/vswitch.ovsschema
)
directories=(
  dev etc/openvswitch host/etc host/run host/var/lib proc root run/docker/plugins
  run/openvswitch sys tmp var/lib/openvswitch var/log/openvswitch
)

die() { echo "rootfs/build.sh: $*" >&2; exit 1; }

while [ $# -gt 0 ]; do
  case $1 in
    --binary) binary=${2:?} ;;
    --out) out=${2:?} ;;
    --source) source=${2:?} ;;
    --limit) limit=${2:?} ;;
    *) die "unknown argument $1" ;;
  esac
  shift 2
done
if [ -z "$binary" ] || [ -z "$out" ]; then die "say --binary EVIO and --out DIR"; fi
[ -f "$binary" ] || die "there is no $binary: run make build"
if [ -z "$source" ]; then
  if [ -x "$tree/bin/sh" ]; then source=$tree; else source=/; fi
fi
source=${source%/}

in_source() { if [ -z "$source" ]; then "$@"; else chroot "$source" "$@"; fi; }

# copy PATH: PATH of the source, links followed, to the same place in the new tree.
copy() {
  local real to=$1
  real=$(in_source readlink -e "$1") || die "${source:-this machine} has no $1: install openvswitch-switch and ca-certificates there, or run make tree"
  # Debian's /bin, /lib, ... are links into /usr, here too.
  case $to in /bin/* | /sbin/* | /lib*) to=/usr$to ;; esac
  [ -e "$new$to" ] || install -D -p -m "$(stat -c %a "$source$real")" "$source$real" "$new$to"
}

# libraries PROGRAM...: the closure that the dynamic linker names, one path a line.
libraries() {
  local listing
  listing=$(in_source ldd "$@") || die "ldd cannot read one of: $*"
  if grep -F 'not found' <<<"$listing" >&2; then die "the source lacks libraries"; fi
  awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && $2 ~ /^\(/ { print $1 }' <<<"$listing" | sort -u
}

new=$out.new
rm -rf "$new"
trap 'rm -rf "$new"' EXIT
for d in "${directories[@]}"; do mkdir -p "$new/$d"; done
chmod 1777 "$new/tmp"
chmod 0700 "$new/root"
mkdir -p "$new/usr/bin" "$new/usr/sbin" "$new/usr/lib"
for d in bin sbin lib; do ln -s "usr/$d" "$new/$d"; done
if [ -e "$source/lib64" ]; then mkdir "$new/usr/lib64" && ln -s usr/lib64 "$new/lib64"; fi

for f in "${programs[@]}" "${files[@]}"; do copy "$f"; done
closure=$(libraries "${programs[@]}")
while read -r f; do copy "$f"; done <<<"$closure"
cp -r "$here/static/." "$new/"
install -m 0755 "$binary" "$new/usr/bin/evio"

epoch=${SOURCE_DATE_EPOCH:-0}
find "$new" -exec touch --no-dereference --date "@$epoch" {} +
bytes=$(find "$new" -type f -printf '%s\n' | awk '{ n += $1 } END { print n }')
digest=$(tar --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -C "$new" -cf - . | sha256sum | cut -d' ' -f1)
[ "$bytes" -le $((limit * 1000 * 1000)) ] || die "$((bytes / 1000000)) MB are more than the $limit MB allowed"

rm -rf "$out"
mkdir -p "$(dirname "$out")"
mv "$new" "$out"
printf '%s: %s files, %d.%d MB of %s MB allowed, sha256 %s\n' "$out" "$(find "$out" -type f | wc -l)" \
  $((bytes / 1000000)) $((bytes % 1000000 / 100000)) "$limit" "$digest"
