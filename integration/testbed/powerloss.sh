# What a loss of power leaves of a machine: its disk. Processes, mounts, what lies in /run, network
# devices but those of the machine itself, packet filters and cgroups go.
set -eu
keep=$(pgrep -oP 1)
others() {
  for p in /proc/[0-9]*; do
    pid=${p#/proc/}
    [ "$pid" = 1 ] || [ "$pid" = "$keep" ] || grep -qsa "$0" "$p/cmdline" && continue
    ! readlink "$p/exe" >/dev/null || echo "$pid" # one that has just ended has none
  done
}
tries=0
while pids=$(others) && [ "$pids" ]; do
  kill -KILL $pids 2>/dev/null || :
  tries=$((tries + 1))
  [ "$tries" -lt 300 ] || { echo "processes do not end: $pids" >&2; exit 1; }
done
awk '$5 ~ "^/(run|var/lib/docker)/" { print $5 }' /proc/self/mountinfo | sort -r | while read -r at; do
  umount -l "$at" 2>/dev/null || : # it went with the one above it
done
find /run -mindepth 1 -delete
mkdir /run/lock /run/user
for device in /sys/class/net/*; do
  device=${device##*/}
  case $device in lo | eth* | sit0 | tunl0 | ip6tnl0) ;; *) ip link delete "$device" 2>/dev/null || : ;; esac
done
for filter in iptables ip6tables; do
  for table in filter nat; do
    $filter -t $table -F
    $filter -t $table -X
  done
done
for chain in INPUT FORWARD OUTPUT; do
  iptables -P $chain ACCEPT
done
find /sys/fs/cgroup -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || :
