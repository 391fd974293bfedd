#!/bin/sh
# Installs evio from its bundle into the engine of this machine.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
name=evionet bindir=/usr/local/bin plugin=$here/plugin

usage() {
  cat <<'USAGE'
Installs evio into the Docker engine of this machine, or replaces an older one, and puts
the command evio beside it. Run it as root.

  ./install.sh [--name NAME] [--bindir FOLDER] [--plugin FOLDER] [SETTING=VALUE...]

  --name NAME       the plugin's name in `docker plugin ls`, default evionet
  --bindir FOLDER   where the command evio is put, default /usr/local/bin
  --plugin FOLDER   the plugin's files, default those of the bundle
  SETTING=VALUE     as for `docker plugin set`, such as EVIO_LOG_LEVEL=debug or
                    varlib.source=/srv/lib
  --help            prints this

Networks, containers and identity stay when an older plugin is replaced, and so do the
settings that it had. Configuration is read from /etc/evio/config.json, which need not
exist: a network of this engine alone works without.
USAGE
}

say() { printf '%s\n' "install.sh: $*"; }
die() {
  say "$*" >&2
  exit 1
}
wrong() {
  say "$*; see ./install.sh --help" >&2
  exit 2
}

# The arguments that are left are the settings.
n=$#
while [ "$n" -gt 0 ]; do
  case $1 in
    -h | --help)
      usage
      exit 0
      ;;
    --name | --bindir | --plugin)
      [ "$n" -ge 2 ] && [ -n "$2" ] || wrong "$1 needs a value"
      case $1 in --name) name=$2 ;; --bindir) bindir=$2 ;; --plugin) plugin=$2 ;; esac
      shift 2
      n=$((n - 2))
      continue
      ;;
    -*) wrong "there is no option $1" ;;
    ?*=*) set -- "$@" "$1" ;;
    *) wrong "'$1' is no SETTING=VALUE" ;;
  esac
  shift
  n=$((n - 1))
done
case $name in
  evio | evio:latest)
    die "Docker would not find the driver by '-d evio' if the plugin had that name itself: give another --name, such as evionet"
    ;;
esac

# 1. What is here, before anything is changed.
[ -f "$plugin/config.json" ] && [ -x "$plugin/rootfs/usr/bin/evio" ] ||
  die "$plugin has no config.json and rootfs/usr/bin/evio: unpack the whole bundle, as root, and run the install.sh in it"
# known SETTING: whether config.json has it; of a mount or device the part after the dot is its field.
known() { grep -F "\"name\": \"${1%.*}\"" "$plugin/config.json" >/dev/null; }
for setting; do
  known "${setting%%=*}" || die "there is no setting ${setting%%=*}: docs/CONFIGURATION.md lists them under Environment"
done
command -v docker >/dev/null ||
  die "there is no docker command: install Docker Engine 20.10 or newer (https://docs.docker.com/engine/install), then run this again"
engine=$(docker version --format '{{.Server.Version}} {{.Server.Os}}/{{.Server.Arch}}' 2>&1) ||
  die "the engine does not answer: start it (systemctl start docker), or run this as root. Docker says: $(printf '%s\n' "$engine" | sed '/^$/d')"
version=${engine%% *} platform=${engine##* }
case $version in
  [0-9]*.[0-9]*)
    major=${version%%.*} minor=${version#*.}
    minor=${minor%%[!0-9]*}
    [ "$major" -gt 20 ] || { [ "$major" -eq 20 ] && [ "$minor" -ge 10 ]; } ||
      die "the engine is Docker $version, and evio needs 20.10 or newer: upgrade it, then run this again"
    ;;
esac
# Bytes 19 and 20 of the program tell its processor (e_machine of ELF).
case $(od -An -tu2 -j18 -N2 "$plugin/rootfs/usr/bin/evio" | tr -d ' ') in
  62) ours=linux/amd64 ;;
  183) ours=linux/arm64 ;;
  *) die "$plugin/rootfs/usr/bin/evio is no program for amd64 or arm64: download the bundle again" ;;
esac
[ "$platform" = "$ours" ] || die "this evio is for $ours and the engine runs on $platform: take the bundle for that"
case $(docker info --format '{{.SecurityOptions}}' 2>/dev/null) in
  *name=rootless*) die "the engine is rootless, and evio needs one that runs as root" ;;
esac
mkdir -p "$bindir" 2>/dev/null && [ -w "$bindir" ] || die "$bindir cannot be written: run this as root, or give another --bindir"

# 2. Which plugin serves evio now.
old=$(docker plugin inspect --format '{{.Enabled}}' "$name" 2>/dev/null) || old=none
for other in $(docker plugin ls --format '{{.Name}}'); do
  case $other in "$name" | "$name:latest") continue ;; esac
  case $(docker plugin inspect --format '{{.Config.Interface.Socket}} {{.Enabled}}' "$other") in
    'evio.sock true')
      case $other in
        evio:latest) die "Docker does not find the driver by the name of the plugin $other: remove it (docker plugin disable -f $other && docker plugin rm $other), then run this again; networks and identity stay in its state directory" ;;
      esac
      die "the plugin $other serves evio already: give --name $other to replace it, or remove it first (docker plugin disable -f $other && docker plugin rm $other)" ;;
  esac
done

# What its user had set: where it differs from what its own config.json says.
if [ "$old" != none ]; then
  had=$(docker plugin inspect --format '{{range .Settings.Env}}{{println .}}{{end}}{{range .Settings.Mounts}}{{.Name}}.source={{.Source}}{{println}}{{end}}{{range .Settings.Devices}}{{.Name}}.path={{.Path}}{{println}}{{end}}' "$name")
  defaults=$(docker plugin inspect --format '{{range .Config.Env}}{{.Name}}={{.Value}}{{println}}{{end}}{{range .Config.Mounts}}{{.Name}}.source={{.Source}}{{println}}{{end}}{{range .Config.Linux.Devices}}{{.Name}}.path={{.Path}}{{println}}{{end}}' "$name")
  given=$(for setting; do echo "${setting%%=*}"; done)
  while IFS= read -r setting; do
    key=${setting%%=*}
    if [ -z "$key" ] || printf '%s\n' "$given" | grep -xF "$key" >/dev/null; then continue; fi
    if known "$key"; then
      set -- "$@" "$setting"
      say "keeps $setting"
    else
      say "leaves out $setting, which this version does not know"
    fi
  done <<KEPT
$(printf '%s\n' "$had" | grep -vxF "$defaults" || :)
KEPT
fi

# 3. The plugin.
[ "$(id -u)" != 0 ] || chown -R 0:0 "$plugin/rootfs" # unpacked by somebody else
# The settings are tried on a plugin without programs, so that they are refused, if at
# all, while the old one is still there.
trial=$(mktemp -d)
trap 'rm -rf "$trial"; docker plugin rm evio-trial >/dev/null 2>&1 || :' EXIT
mkdir "$trial/rootfs"
echo trial >"$trial/rootfs/trial"
cp "$plugin/config.json" "$trial/"
docker plugin rm evio-trial >/dev/null 2>&1 || :
docker plugin create evio-trial "$trial" >/dev/null ||
  die "the engine takes no plugin: put right what Docker says above, then run this again"
if [ $# -gt 0 ] && ! docker plugin set evio-trial "$@"; then
  die "a setting was refused: put right what Docker says above, then run this again"
fi
docker plugin rm evio-trial >/dev/null
if [ "$old" != none ]; then
  say "replaces the plugin $name; its networks and containers stay"
  [ "$old" = false ] || docker plugin disable --force "$name" >/dev/null
  docker plugin rm --force "$name" >/dev/null
fi
docker plugin create "$name" "$plugin" >/dev/null ||
  die "the plugin could not be made: put right what Docker says above, then run this again, with the settings: $*"
if [ $# -gt 0 ]; then docker plugin set "$name" "$@"; fi
docker plugin enable "$name" >/dev/null ||
  die "the plugin $name is there and could not be enabled: put right what Docker says above (if it is /dev/net/tun: modprobe tun), then: docker plugin enable $name"

# 4. The command.
rm -f "$bindir/.evio.new"
cp "$plugin/rootfs/usr/bin/evio" "$bindir/.evio.new"
chmod 0755 "$bindir/.evio.new"
mv "$bindir/.evio.new" "$bindir/evio"
say "$("$bindir/evio" version) is installed: plugin $name, command $bindir/evio"
say "make a network with: docker network create -d evio --subnet 10.9.0.0/24 --ip-range 10.9.0.0/26 blue (another --ip-range at each site)"
say "and see how it is with: evio status"
