#!/bin/sh
# PID 1 of a virtual machine until systemd is: its programs, its address on the bed's bridge, and the door by which commands come.
set -e
mkdir -p /opt/bin /opt/cni/bin
mount -o ro /dev/vdb /opt/bin
mount --bind /opt/bin/cni /opt/cni/bin
until [ -e /sys/class/net/eth1 ]; do sleep 0.05; done
ip link set lo up
ip address add ADDRESS/24 dev eth0
ip link set eth0 up
ip route add default via GATEWAY
ip address add 10.0.2.15/24 dev eth1
ip link set eth1 up
exec /sbin/init
