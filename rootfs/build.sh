#!/usr/bin/env bash
# Makes the plugin's root file system: the evio binary, the programs of Open vSwitch
# with the libraries they need, the database schema, the CA roots, and nothing else.
#
#   rootfs/build.sh --binary EVIO --out DIR [--source ROOT] [--limit MB]
#
# ROOT is a Debian root with openvswitch-switch and ca-certificates in it: / on a
# machine that has them, or an unpacked tree (integration/tree.sh), also one of another
# architecture (rootfs/foreign.sh): nothing in it is run. Without --source the tree is
# taken where there is one, else /. DIR is replaced as a whole, and left as it was if
# anything goes wrong.
# The same inputs and SOURCE_DATE_EPOCH give the same bytes, names and times.
set -euo pipefail
export LC_ALL=C
umask 022

here=$(cd "$(dirname "$0")" && pwd)
tree=${EVIO_SWITCH_TREE:-/var/cache/evio/switch}
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

command -v readelf >/dev/null || die "there is no readelf: install binutils"

# resolve PATH: the path in the source of the file that PATH leads to there; a link with
# an absolute target does not lead out of it. Fails if there is no such file.
resolve() {
  local rest=$1 at='' part link hops=0
  while [ -n "$rest" ]; do
    part=${rest%%/*}
    case $rest in */*) rest=${rest#*/} ;; *) rest='' ;; esac
    case $part in '' | .) continue ;; ..) at=${at%/*} && continue ;; esac
    if [ ! -L "$source$at/$part" ]; then
      at=$at/$part
      continue
    fi
    [ $((hops += 1)) -le 40 ] || return 1
    link=$(readlink "$source$at/$part")
    case $link in /*) at='' ;; esac
    rest=$link/$rest
  done
  [ -e "$source$at" ] && printf '%s\n' "$at"
}

# copy PATH: PATH of the source, links followed, to the same place in the new tree.
copy() {
  local real to=$1
  real=$(resolve "$1") || die "${source:-this machine} has no $1: install openvswitch-switch and ca-certificates there, or run make tree"
  # Debian's /bin, /lib, ... are links into /usr, here too.
  case $to in /bin/* | /sbin/* | /lib*) to=/usr$to ;; esac
  [ -e "$new$to" ] || install -D -p -m "$(stat -c %a "$source$real")" "$source$real" "$new$to"
}

# machine FILE: the processor that a program or library is for.
machine() { readelf --file-header "$1" | sed -n 's/^ *Machine: *//p'; }

processor=$(machine "$binary")
case $processor in
  *X86-64) triplet=x86_64-linux-gnu ;;
  AArch64) triplet=aarch64-linux-gnu ;;
  *) die "$binary is for the machine '$processor': make it for amd64 or arm64" ;;
esac

# libraries PROGRAM...: the paths of the libraries that the programs need, and those need,
# and of the dynamic linker, in the folders where Debian's linker looks for them.
libraries() {
  local queue=("$@") seen=' ' file real needs name folder path
  while [ ${#queue[@]} -gt 0 ]; do
    file=${queue[0]} queue=("${queue[@]:1}")
    real=$(resolve "$file") || die "${source:-this machine} has no $file"
    [ "$(machine "$source$real")" = "$processor" ] || die "$source$real is not for $processor, as $binary is"
    needs=$(readelf --wide --dynamic --program-headers "$source$real" |
      sed -nE 's/.*\(NEEDED\).*\[(.*)\]$/\1/p; s/.*program interpreter: (.*)\]$/\1/p')
    for name in $needs; do
      case $seen in *" ${name##*/} "*) continue ;; esac
      seen+="${name##*/} "
      for folder in "/lib/$triplet" "/usr/lib/$triplet" /lib /usr/lib none; do
        path=$folder/${name##*/}
        case $name in /*) path=$name ;; esac # the dynamic linker
        if resolve "$path" >/dev/null; then break; fi
      done
      [ "$folder" != none ] || die "${source:-this machine} has no $name, which $file needs"
      echo "$path"
      queue+=("$path")
    done
  done
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
closure=$(libraries "${programs[@]}" | sort -u)
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
