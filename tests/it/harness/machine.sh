# A machine of its own on top of this one: every file of this machine can be read and written
# there, and what is written goes to memory and is gone with it. The network is this machine's.
# systemd is its process 1 and starts nothing by itself but its journal.
#
# Runs in a mount and pid namespace of its own; $1 is an empty directory.
set -e
mount -t tmpfs tmpfs "$1"
cd "$1"
mkdir upper work root
mount -t overlay -o "lowerdir=/,upperdir=$PWD/upper,workdir=$PWD/work" overlay root
cd root

rm -rf usr/lib/systemd/system/*.wants etc/systemd/system/*.wants etc/systemd/system/walhook*
: >etc/fstab
: >etc/machine-id

mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t tmpfs tmpfs sys/fs/cgroup
mkdir sys/fs/cgroup/systemd
mount -t cgroup -o none,name=systemd,xattr cgroup sys/fs/cgroup/systemd
mount -t tmpfs tmpfs run
mount -t tmpfs tmpfs tmp
mount -t tmpfs tmpfs dev
for device in null zero full random urandom tty; do
    : >"dev/$device"
    mount --bind "/dev/$device" "dev/$device"
done
mkdir dev/shm dev/pts
ln -s /proc/self/fd dev/fd
# PrivateDevices= looks for it.
ln -s pts/ptmx dev/ptmx

# Not a mere chroot, in which PrivateUsers= is refused; and mounts must reach the services' namespaces.
mkdir .before
pivot_root . .before
mount --make-rshared /
umount -l /.before

exec chroot . env -i container=walhook-test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
    /lib/systemd/systemd --log-target=console --show-status=no --unit=sysinit.target
