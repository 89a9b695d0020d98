#!/bin/bash
# Installs the packages for real: boots Debian 12 with its own systemd in a container with a network
# of its own, and runs install-test.sh there. Needs root, debootstrap and systemd-nspawn.
#
#   packaging/test-install.sh [URI]     what the agent drives: qemu:///system (the default), sim://
#
# The base system is cached in target/nspawn/base; the packages are those in target/debian.
set -euo pipefail
cd "$(dirname "$0")/.."

HYPERVISOR=${1:-qemu:///system}
BASE=target/nspawn/base
# An hour of emulation would be a hang.
LIMIT=${LIMIT:-600}
PACKAGES=systemd,systemd-sysv,dbus,libpam-systemd,procps,iproute2,qemu-utils
LIBVIRT=libvirt-daemon,libvirt-daemon-system,libvirt-daemon-driver-qemu,libvirt-clients,qemu-system-x86

[ "$(id -u)" -eq 0 ] || { echo "test-install: needs root" >&2; exit 1; }
for tool in debootstrap systemd-nspawn; do
    command -v $tool >/dev/null || { echo "test-install: $tool is missing (Debian: debootstrap, systemd-container)" >&2; exit 1; }
done
ls target/debian/novacron*.deb >/dev/null || { echo "test-install: run packaging/build-debs.sh first" >&2; exit 1; }
[ -e target/lab/guest/vmlinuz ] || { echo "test-install: run 'make demo ONCE=1' first, for its tiny guest" >&2; exit 1; }

if [ ! -d $BASE ]; then
    echo "test-install: making the base system (three minutes, once)" >&2
    rm -rf $BASE.new
    mkdir -p "$(dirname $BASE)"
    debootstrap --variant=minbase --include="$PACKAGES,$LIBVIRT" bookworm $BASE.new >$BASE.log 2>&1 ||
        { tail -20 $BASE.log >&2; exit 1; }
    mv $BASE.new $BASE
fi

root=$(mktemp -d -p target/nspawn run.XXXXXX)
trap 'rm -rf "$root"' EXIT
cp -a --reflink=auto $BASE/. "$root"
mkdir -p "$root/novacron-test/packages"
cp target/debian/novacron*.deb "$root/novacron-test/packages"
cp -r target/lab/guest "$root/novacron-test/guest"
cp packaging/install-test.sh "$root/novacron-test/run.sh"
echo novacron-test >"$root/etc/hostname"
# QEMU in a container: no device cgroups to set up, no security module to label with.
cat >>"$root/etc/libvirt/qemu.conf" <<CONF
security_driver = "none"
cgroup_controllers = []
namespaces = []
CONF
cat >"$root/etc/systemd/system/novacron-test.service" <<UNIT
[Unit]
After=basic.target libvirtd.service dbus.service systemd-logind.service
[Service]
Type=oneshot
ExecStart=/bin/bash -c '/novacron-test/run.sh $HYPERVISOR >/novacron-test/log 2>&1; echo \$? >/novacron-test/status'
ExecStopPost=/bin/systemctl --no-block poweroff
TimeoutStartSec=$LIMIT
[Install]
WantedBy=multi-user.target
UNIT
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
ln -s ../novacron-test.service "$root/etc/systemd/system/multi-user.target.wants/novacron-test.service"

: >"$root/novacron-test/log"
tail -f --pid=$$ "$root/novacron-test/log" | grep --line-buffered -E '^(step|FAILED|PASSED)' &
follower=$!
timeout $((LIMIT + 60)) systemd-nspawn --quiet --directory="$root" --boot --register=no --keep-unit \
    --private-network --console=pipe --kill-signal=SIGRTMIN+3 </dev/null >"$root/console" 2>&1 || true
sleep 1
kill $follower 2>/dev/null || true

status=$(cat "$root/novacron-test/status" 2>/dev/null || echo none)
if [ "$status" != 0 ]; then
    echo "test-install: FAILED (status $status); the end of its log and of its console:" >&2
    tail -80 "$root/novacron-test/log" >&2
    tail -20 "$root/console" >&2
    exit 1
fi
echo "test-install: passed with $HYPERVISOR"
