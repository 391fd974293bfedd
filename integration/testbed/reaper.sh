#!/bin/sh
# Waits until the owner of a lab has closed it or has ended (end of stdin), then removes what
# outlives the lab's processes. In: LAB (cgroup name of the lab), DIR (of the lab).
set -u
cat >/dev/null

groups() {
  while read -r _ at type _; do
    case $type in
      cgroup | cgroup2) [ ! -d "$at/$LAB" ] || find "$at/$LAB" -depth -type d ;;
    esac
  done </proc/mounts
}

tries=0
while list=$(groups) && [ "$list" ]; do
  for group in $list; do
    [ ! -e "$group/freezer.state" ] || echo THAWED >"$group/freezer.state" # frozen, none can die
    [ ! -e "$group/cgroup.freeze" ] || echo 0 >"$group/cgroup.freeze"
    # Normally nothing: the init of each machine has died, and all else with it.
    xargs -r kill -9 <"$group/cgroup.procs"
    rmdir "$group"
  done 2>/dev/null
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { echo "processes of $LAB do not end: see $(groups | head -n 1)/cgroup.procs" >&2; exit 1; }
  sleep 0.1
done
rm -rf --one-file-system "$DIR"
