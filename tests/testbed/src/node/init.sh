#!/bin/bash
# PID 1 of a node, in mount, pid, uts, ipc, cgroup and network namespaces of its own: builds the root, then becomes systemd.
# All mounts are made here, so that they end with the node. Usage: init.sh FOLDER NAME LOWER PROGRAMS
set -euo pipefail
folder=$1 name=$2 lower=$3 programs=$4
root="$folder/root" disk="$folder/disk"
mount --make-rprivate /

# /proc is still the host's: this is our id and start time as the host sees them.
read -r line </proc/self/stat && echo "$line" >"$folder/init"
cat /proc/sys/kernel/random/uuid >"$folder/boot_id"

# A disk of its own, which can be full; what was written survives a power cut as it does on a real disk.
mkdir -p "$root" "$disk"
mount -o loop "$folder/disk.img" "$disk"
mkdir -p "$disk/up" "$disk/work"
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$disk/up,workdir=$disk/work" "$root"
mkdir -p "$root"/{proc,sys,dev,run,tmp,old,opt/bin,opt/cni/bin}
# Not in the overlay: the kubelet measures only a disk, and containerd's images are overlays themselves.
for own in kubelet containerd; do
  mkdir -p "$disk/$own" "$root/var/lib/$own"
  mount --bind "$disk/$own" "$root/var/lib/$own"
done

# Its own few devices: not the host's disks.
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for device in null zero full random urandom tty kmsg fuse loop-control; do
  [ ! -e "/dev/$device" ] || { touch "$root/dev/$device" && mount --bind "/dev/$device" "$root/dev/$device"; }
done
mkdir "$root"/dev/{pts,shm,mqueue}
mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
mount -t mqueue mqueue "$root/dev/mqueue"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
for number in 0 1 2; do ln -s "/proc/self/fd/$number" "$root/dev/$(echo stdin stdout stderr | cut -d' ' -f$((number + 1)))"; done

mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
mount -t sysfs sysfs "$root/sys"
if [ "$(stat -fc %T /sys/fs/cgroup)" = cgroup2fs ]; then
  mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
else
  mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
  while IFS=: read -r _ hierarchy _; do
    case "$hierarchy" in
      "") place=unified kind=cgroup2 options=rw ;;
      name=*) place=${hierarchy#name=} kind=cgroup options="none,$hierarchy" ;;
      *) place=$hierarchy kind=cgroup options=$hierarchy ;;
    esac
    mkdir -p "$root/sys/fs/cgroup/$place"
    mount -t "$kind" -o "$options" "$kind" "$root/sys/fs/cgroup/$place"
    # Where the host has joined two controllers each is found under its own name too.
    case "$place" in *,*) for one in ${place//,/ }; do ln -s "$place" "$root/sys/fs/cgroup/$one"; done ;; esac
  done </proc/self/cgroup
fi

# The kernel's settings are the host's: only those of the network namespace may be changed here. The kubelet wants certain
# values; it finds them without the host getting them.
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
stand_in() { # VALUE PATH-UNDER-/proc
  local file="$root/run/hozen/${2//\//-}"
  mkdir -p "$root/run/hozen"
  echo "$1" >"$file"
  [ ! -e "$root/proc/$2" ] || mount --bind "$file" "$root/proc/$2"
}
stand_in "$(cat "$folder/boot_id")" sys/kernel/random/boot_id
stand_in 1 sys/vm/overcommit_memory
stand_in 0 sys/vm/panic_on_oom
stand_in 10 sys/kernel/panic
stand_in 1 sys/kernel/panic_on_oops
stand_in 1000000 sys/kernel/keys/root_maxkeys
stand_in 25000000 sys/kernel/keys/root_maxbytes
# Writing here would reset the host, or put it to sleep.
for path in proc/sysrq-trigger sys/power/state; do
  [ ! -e "$root/$path" ] || mount --bind /dev/null "$root/$path"
done

mount --bind "$programs" "$root/opt/bin"
mount --bind "$programs/cni" "$root/opt/cni/bin"
cp -a "$folder/files/." "$root/"
cp -L /etc/resolv.conf "$root/etc/resolv.conf"
hostname "$name"

cd "$root"
pivot_root . old
# The host's programs may lie elsewhere than Debian's.
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
umount -l /old
mount --make-rshared /
export container=hozen
exec /sbin/init --log-target=journal
