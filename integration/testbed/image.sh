#!/bin/sh
# Makes the test image's tar from the machine's own programs and their libraries.
set -eu
root=$(mktemp -d)
cd "$root"
mkdir -p bin sbin usr/bin usr/sbin usr/local/bin etc proc sys dev run root var/run
mkdir -m 1777 tmp
cp /bin/busybox bin/busybox
cp /usr/local/bin/probe usr/local/bin/probe
for name in $(busybox --list); do
  [ "$name" = busybox ] || ln -s /bin/busybox "bin/$name"
done
# Ahead of busybox's own on PATH.
for name in ip ping iperf3 socat tcpdump ethtool; do
  file=$(readlink -f "$(command -v "$name")")
  cp "$file" "usr/local/bin/$name"
  ldd "$file" | sed -n 's/.* => \(\/[^ ]*\).*/\1/p; s/^[^=]*\(\/lib[^ ]*ld-[^ ]*\).*/\1/p' >>libraries
done
ldconfig -p | sed -n 's/.*libgcc_s\.so\.1 .* => //p' | head -n 1 >>libraries # iperf3 loads it when a thread ends
sort -u libraries | while read -r library; do
  mkdir -p ".${library%/*}"
  cp -L "$library" ".$library"
done
rm libraries
echo 'root:x:0:0:root:/root:/bin/sh' >etc/passwd
echo 'root:x:0:' >etc/group
tar -cf /lab/image.tar.new .
mv /lab/image.tar.new /lab/image.tar
cd /
rm -rf "$root"
