# The plugin's root file system by way of an image, for those who build with Docker.
# `make plugin` makes the same tree with the same script and needs neither an image nor
# a registry.
#
#   make build && docker build -t evio-rootfs . && mkdir -p dist/plugin/rootfs
#   c=$(docker create evio-rootfs) && docker export "$c" | tar -x -C dist/plugin/rootfs; docker rm "$c"
#   cp config.json dist/plugin/ && docker plugin create evionet dist/plugin
#
# The binary is built outside: Debian's Go is older than what the module needs.
# The suite with Open vSwitch 4.0 (docs/decisions/045-own-open-vswitch-4.0.md).
FROM debian:forky-slim AS rootfs
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends binutils ca-certificates openvswitch-switch
COPY rootfs /build/rootfs
COPY dist/evio /build/evio
ARG SOURCE_DATE_EPOCH=0
RUN /build/rootfs/build.sh --source / --binary /build/evio --out /out

FROM scratch
COPY --from=rootfs /out/ /
ENTRYPOINT ["/bin/evio", "plugin"]
