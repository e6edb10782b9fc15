#!/bin/bash
# The power supply, firmware and boot loader of a node that is a virtual machine: runs the kernel that the machine's own
# /vmlinuz names, and after each of its resets looks again which that is.
# Usage: run.sh FOLDER NAME LINK HARDWARE-ADDRESS SSH-ADDRESS:PORT PROGRAMS
set -euo pipefail
folder=$1 name=$2 link=$3 hardware=$4 ssh=$5 programs=$6
ulimit -c 0

# Hosts that are machines of a cloud often have a KVM that does not work. Asked is a processor whose only instructions write 16
# to a port, which QEMU answers with 33.
kvm_works() {
  [ -w /dev/kvm ] || return 1
  { head -c 65520 /dev/zero && printf '\xb0\x10\xe6\xf4\xf4' && head -c 11 /dev/zero; } >"$folder/probe.rom"
  local code=0
  timeout --signal=KILL 5 qemu-system-x86_64 -accel kvm -cpu host -nodefaults -display none -bios "$folder/probe.rom" \
    -device isa-debug-exit,iobase=0xf4,iosize=1 </dev/null >/dev/null 2>&1 || code=$?
  [ "$code" -eq 33 ]
}
if kvm_works 2>/dev/null; then processor=(-accel kvm -cpu host); else processor=(-accel tcg,tb-size=128 -cpu max); fi
echo "$name: ${processor[*]}"

# What takes seconds where a processor is emulated, and protects or proves nothing here.
quick="cryptomgr.notests mitigations=off no_timer_check nokaslr systemd.show_status=false"

# What a link of the machine's root points at.
target() { debugfs -R "stat $1" "$folder/disk.img" 2>/dev/null | sed -n 's/^Fast link dest: "\(.*\)"$/\/\1/p'; }
copy_out() { # PATH NAME
  rm -f "$folder/$2"
  debugfs -R "dump $1 $folder/$2" "$folder/disk.img" 2>/dev/null
  [ -s "$folder/$2" ] || { echo "$name: its disk holds no $1"; exit 1; }
}

mkfifo -m 600 "$folder/monitor" 2>/dev/null || true
exec 3<>"$folder/monitor"
while :; do
  rm -f "$folder/init"
  # After a power cut: what the journal holds is written where it belongs.
  e2fsck -p "$folder/disk.img" || [ $? -lt 4 ]
  # The first boot is that before an update: the newest kernel is installed, and the one before it runs.
  if [ -e "$folder/booted" ]; then kernel=$(target /vmlinuz); else kernel=$(target /vmlinuz.old); fi
  copy_out "$kernel" kernel
  touch "$folder/booted"
  cp -L /etc/resolv.conf "$folder/files/etc/resolv.conf"
  rm -f "$folder/files.img"
  mke2fs -q -t ext4 -O ^has_journal -d "$folder/files" "$folder/files.img" 8M
  skew=$(cat "$folder/clock-skew" 2>/dev/null || echo 0)
  clock=$(date --utc --date="@$(($(date +%s) + skew))" +%Y-%m-%dT%H:%M:%S)
  echo "$name: starting $kernel, its clock at $clock"

  # The monitor says at the end why the machine ended. When this script is killed the kernel kills QEMU too. An emulated processor
  # that waits for its turn is late with its heartbeats: it goes before others.
  echo '{"execute":"qmp_capabilities"}' >&3
  machine=(
    -name "$name" -nodefaults -no-user-config -display none -no-reboot -sandbox on,obsolete=deny,spawn=deny
    -machine q35 "${processor[@]}" -smp 1 -m 1024 -rtc "base=$clock"
    -kernel "$folder/kernel"
    -append "root=/dev/nvme0n1 rw init=/usr/local/sbin/hozen-boot console=ttyS0 quiet net.ifnames=0 $quick"
    -drive "file=$folder/disk.img,id=disk,if=none,format=raw,cache=unsafe" -device nvme,serial=disk,drive=disk
    -drive "file=$folder/files.img,if=virtio,format=raw,readonly=on"
    -drive "file=$programs,if=virtio,format=raw,readonly=on,file.locking=off"
    -netdev "tap,id=bed,ifname=$link,script=no,downscript=no" -device "virtio-net-pci,netdev=bed,mac=$hardware,romfile="
    -netdev "user,id=door,restrict=on,ipv6=off,hostfwd=tcp:$ssh-:22" -device virtio-net-pci,netdev=door,romfile=
    -device virtio-rng-pci -chardev "file,id=console,path=$folder/console.log,append=on" -serial chardev:console -qmp stdio
  )
  code=0
  nice -n -10 setpriv --pdeathsig KILL bash -c 'read -r line </proc/self/stat && echo "$line" >"$0" && exec "$@"' "$folder/init" \
    qemu-system-x86_64 "${machine[@]}" <&3 >"$folder/monitor.log" || code=$?
  grep -q '"reason": "guest-reset"' "$folder/monitor.log" || break
  echo "$name: reset"
done
echo "$name: off, QEMU ended with $code"
rm -f "$folder/init"
