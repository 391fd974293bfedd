#!/usr/bin/env bash
# Unpacks Debian's packages of Open vSwitch, and of all that they need, for another
# architecture: the root from which rootfs/build.sh makes that architecture's plugin.
# Nothing of it is run or installed.
#
#   rootfs/foreign.sh ARCH     makes it, or does nothing when it is there; prints its path
#
#   EVIO_SWITCH_TREE  the tree of the native plugin (integration/tree.sh switch), whose suites and
#                     preferences are taken; default /var/cache/evio/switch
#   EVIO_FOREIGN      the root's path; default that of the tree with -ARCH
set -euo pipefail
export LC_ALL=C
umask 022

arch=${1:?say for which architecture, such as arm64}
tree=${EVIO_SWITCH_TREE:-/var/cache/evio/switch}
packages=(openvswitch-switch ca-certificates)

say() { echo "foreign: $*" >&2; }
die() { say "$@"; exit 1; }

[ -r "$tree/etc/evio-tree" ] || die "there is no unpacked tree at $tree: run integration/tree.sh switch"
root=${EVIO_FOREIGN:-$tree-$arch}
want="$arch ${packages[*]} $(cat "$tree/etc/evio-tree")"

mkdir -p "$(dirname "$root")"
exec 9>"$root.lock"
flock 9
if [ "$(cat "$root/etc/evio-foreign" 2>/dev/null)" = "$want" ]; then
  echo "$root"
  exit 0
fi

keys=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keys" ] || die "there is no $keys: install debian-archive-keyring"
new=$root.new
rm -rf "$new"
mkdir -p "$new/apt/lists/partial" "$new/apt/archives/partial"
trap 'rm -rf "$new"' EXIT
: >"$new/apt/status"
cat "$tree"/etc/apt/sources.list "$tree"/etc/apt/sources.list.d/*.list |
  sed "s|^deb |deb [arch=$arch signed-by=$keys] |" >"$new/apt/sources.list"
cat "$tree"/etc/apt/preferences.d/* >"$new/apt/preferences"
# An apt of its own, to which nothing is installed yet; proxies are as the host has them.
get() {
  apt-get -q -y \
    -o "APT::Architecture=$arch" -o "APT::Architectures::=$arch" -o APT::Sandbox::User=root \
    -o "Dir::Etc::SourceList=$new/apt/sources.list" -o Dir::Etc::SourceParts=- \
    -o "Dir::Etc::Preferences=$new/apt/preferences" -o Dir::Etc::PreferencesParts=- \
    -o "Dir::State=$new/apt" -o "Dir::State::status=$new/apt/status" -o "Dir::State::lists=$new/apt/lists" \
    -o "Dir::Cache=$new/apt" -o "Dir::Cache::archives=$new/apt/archives" "$@"
}
say "unpacking Open vSwitch for $arch, about 30 s"
{
  get update
  get install --download-only --no-install-recommends "${packages[@]}"
} >"$new/apt/log" 2>&1 || { tail -n 20 "$new/apt/log" >&2; die "not downloaded"; }

version=$(find "$new/apt/archives" -name 'openvswitch-switch_*' -printf '%f\n')
# As of Debian 12; packages have files below /lib, too.
mkdir -p "$new/usr/bin" "$new/usr/sbin" "$new/usr/lib"
for d in bin sbin lib; do ln -s "usr/$d" "$new/$d"; done
if [ "$arch" = amd64 ]; then mkdir "$new/usr/lib64" && ln -s usr/lib64 "$new/lib64"; fi
for p in "$new"/apt/archives/*.deb; do
  dpkg-deb --fsys-tarfile "$p" | tar -x -C "$new" --keep-directory-symlink --no-same-owner \
    --exclude='./usr/share/doc' --exclude='./usr/share/man' --exclude='./usr/share/locale'
done

# What the maintainer scripts would do, as far as rootfs/build.sh needs it.
[ -e "$new/usr/sbin/ovs-vswitchd" ] || ln -s ../lib/openvswitch-switch/ovs-vswitchd "$new/usr/sbin/ovs-vswitchd"
mkdir -p "$new/etc/ssl/certs"
find "$new/usr/share/ca-certificates" -name '*.crt' | sort | xargs cat >"$new/etc/ssl/certs/ca-certificates.crt"

rm -rf "$new/apt"
echo "$want" >"$new/etc/evio-foreign"
rm -rf "$root"
mv "$new" "$root"
say "$root is ready: $(du -sh "$root" | cut -f1), $version"
echo "$root"
