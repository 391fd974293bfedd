#!/usr/bin/env bash
# Packs a finished plugin as a bundle that installs without Go, a registry or this tree:
# OUT/evio-VERSION-linux-ARCH.tar.gz and its checksum, .sha256. Version and architecture
# are those of the plugin's program. The same plugin and SOURCE_DATE_EPOCH give the same
# bytes.
#
#   rootfs/packaging/bundle.sh PLUGIN OUT     prints the bundle's path
set -euo pipefail
export LC_ALL=C
umask 022

plugin=${1:?say the folder of the plugin} out=${2:?say where the bundle goes}
top=$(cd "$(dirname "$0")/../.." && pwd)
evio=$plugin/rootfs/usr/bin/evio
[ -f "$evio" ] || { echo "bundle: there is no plugin at $plugin: run make plugin" >&2; exit 1; }

info=$(go version -m "$evio")
version=$(awk '$1 == "mod" { print $3 }' <<<"$info" | tr -cd 'A-Za-z0-9.+-')
arch=$(sed -n 's/^\tbuild\tGOARCH=//p' <<<"$info")
name=evio-${version:-devel}-linux-$arch

mkdir -p "$out"
work=$(mktemp -d "$out/.bundle.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/$name/docs"
cp -a "$plugin" "$work/$name/plugin"
ln "$work/$name/plugin/rootfs/usr/bin/evio" "$work/$name/evio" # in the tar a link, too
install -m 0755 "$top/rootfs/packaging/install.sh" "$work/$name/install.sh"
install -m 0644 "$top/README.md" "$work/$name/README.md"
install -m 0644 "$top/docs/CONFIGURATION.md" "$work/$name/docs/CONFIGURATION.md"
[ ! -f "$top/LICENSE" ] || install -m 0644 "$top/LICENSE" "$work/$name/LICENSE"

tar --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime="@${SOURCE_DATE_EPOCH:-0}" \
  -C "$work" -c "$name" | gzip -n >"$work/$name.tar.gz"
(cd "$work" && sha256sum "$name.tar.gz" >"$name.tar.gz.sha256")
mv "$work/$name.tar.gz" "$work/$name.tar.gz.sha256" "$out/"
echo "$out/$name.tar.gz"
