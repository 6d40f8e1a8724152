#!/bin/sh
# The first program of the guest: the places a program expects, the modules of the rig, the rig, and off.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/run/home LC_ALL=C.UTF-8
mount -t proc proc /proc 2>/dev/null
mount -t sysfs sysfs /sys 2>/dev/null
for place in /run /tmp /dev/shm; do
    mkdir -p $place
    mount -t tmpfs tmpfs $place
done
mkdir -p /dev/pts /run/home
mount -t devpts devpts /dev/pts
ip link set lo up
for module in $(echo "$RIG_MODULES" | tr , ' '); do
    modprobe -d "$RIG_TREE" "$module" || echo "no module $module"
done
cd "$RIG_ROOT" || exit 1
.venv/bin/python -B -m "rigs.guest.$RIG" || echo "the rig's program failed: $?"
sync
busybox poweroff -f
