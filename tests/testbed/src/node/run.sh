#!/bin/bash
# A node's power supply: holds its network and control groups, and turns its system on again after a reboot.
# It already runs in a network namespace of its own, to which the test bed is about to give eth0.
# Usage: run.sh FOLDER NAME ADDRESS GATEWAY LOWER PROGRAMS
set -euo pipefail
folder=$1 name=$2 address=$3 gateway=$4 lower=$5 programs=$6

ip link set lo up
until ip link show eth0 >/dev/null 2>&1; do sleep 0.05; done
ip address add "$address/24" dev eth0
ip link set eth0 up
ip route add default via "$gateway"

# What the system before a reboot has left: a kubelet takes its pods' groups for containers and looks for each for seconds, and in version
# 2 no process may join a group that passes controllers on.
make_empty() { # GROUP
  for _ in {1..100}; do
    ! find "$1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null || break
    sleep 0.05
  done
  [ -e "$1/cgroup.subtree_control" ] || return 0
  for controller in $(cat "$1/cgroup.subtree_control"); do echo "-$controller" >"$1/cgroup.subtree_control"; done
}

while :; do
  rm -f "$folder/init"
  while read -r file; do
    procs=$file
    make_empty "${procs%/*}"
    echo $$ >"$procs"
  done <"$folder/cgroups"
  code=0
  # When this script is killed the kernel kills unshare, and with it the node's init and all its processes.
  setpriv --pdeathsig KILL unshare --mount --pid --uts --ipc --cgroup --fork --kill-child=KILL \
    bash "$folder/init.sh" "$folder" "$name" "$lower" "$programs" &
  system=$!
  if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
    # In version 2 no process but the node's own may be in its group, or systemd cannot pass controllers on.
    while [ ! -s "$folder/init" ] && kill -0 "$system"; do sleep 0.05; done
    outside="${procs%/*/*}/power"
    mkdir -p "$outside"
    for pid in $$ "$system"; do echo "$pid" >"$outside/cgroup.procs" || break; done
  fi
  wait "$system" || code=$?
  echo "$name: init ended with $code"
  [ "$code" -eq 129 ] || break # SIGHUP: reboot(2) in a pid namespace; all else means off
done
rm -f "$folder/init"
