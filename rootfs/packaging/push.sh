#!/bin/sh
# Publishes the plugin at a registry by way of the engine of this machine, so that
# `docker plugin install` finds it there.
#
#   rootfs/packaging/push.sh PLUGIN REGISTRY TAG
#
# PLUGIN is the folder with config.json and rootfs, REGISTRY is host:port/name, or
# account/name at Docker Hub.
set -eu

die() {
  echo "push: $*" >&2
  exit 1
}

[ $# = 3 ] || die "say rootfs/packaging/push.sh PLUGIN REGISTRY TAG"
plugin=$1 registry=$2 reference=$2:$3
case ${registry##*/} in
  '' | *:* | *@*) die "'$registry' does not end with a name: write host:port/name, and the tag as TAG" ;;
esac
case $registry in
  */*) ;;
  *) die "'$registry' names no place: write host:port/name, or account/name at Docker Hub" ;;
esac
[ -f "$plugin/config.json" ] || die "there is no plugin at $plugin: run make plugin"
command -v docker >/dev/null || die "there is no docker command: push from a machine with an engine"
said=$(docker version --format '{{.Server.Version}}' 2>&1) || die "the engine does not answer: $(printf '%s\n' "$said" | sed '/^$/d')"

# The engine pushes a plugin from its own store, where it must have the name that it gets
# at the registry, and contents that no other plugin there has: one file tells it apart
# from the same build installed on this machine.
! docker plugin inspect "$reference" >/dev/null 2>&1 ||
  die "this engine has a plugin $reference already: push from another machine, or remove it (docker plugin rm)"
work=$plugin.push
rm -rf "$work"
trap 'rm -rf "$work"' EXIT
cp -al "$plugin" "$work"
mkdir -p "$work/rootfs/usr/share/evio"
echo "$reference" >"$work/rootfs/usr/share/evio/reference"
touch -d "@${SOURCE_DATE_EPOCH:-0}" "$work/rootfs/usr/share/evio/reference" "$work/rootfs/usr/share/evio" "$work/rootfs/usr/share"
docker plugin create "$reference" "$work" >/dev/null ||
  die "the engine does not take the plugin; 'already exists' means that it is installed here from $reference: nothing is new"
trap 'rm -rf "$work"; docker plugin rm "$reference" >/dev/null' EXIT
docker plugin push "$reference" ||
  die "not pushed. If the registry wants an account: docker login. If it has no TLS: insecure-registries in /etc/docker/daemon.json"
echo "push: docker plugin install --alias evionet $reference"
