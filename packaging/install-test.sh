#!/bin/bash
# Runs inside the system that test-install.sh boots, as its only job: installs the packages, makes a
# cluster of one member and one host, and tries what an operator relies on.
set -euo pipefail

PACKAGES=/novacron-test/packages
GUEST=/novacron-test/guest
ADMIN=/var/lib/novacron/controlplane/admin.toml

step() { echo "step: $*"; }
die() {
    echo "FAILED: $*"
    systemctl --no-pager --full status 'novacron-*' 2>&1 | tail -60 || true
    journalctl --no-pager -n 60 -u 'novacron-*' || true
    exit 1
}
must() { "$@" || die "$*"; }
active() { [ "$(systemctl is-active "$1")" = active ] || die "$1 is $(systemctl is-active "$1")"; }
# The value of a unit's property.
of() { systemctl show --value -p "$2" "$1"; }
# Waits until a command succeeds.
eventually() {
    local limit=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $limit ] || die "in time: $*"
        sleep 0.3
    done
}
nc() { novacron --config "$ADMIN" "$@"; }
restarted() { [ "$(of "$1" NRestarts)" -gt "$2" ]; }

step "the packages install, and start nothing that is not set up"
must dpkg -i "$PACKAGES"/*.deb
for unit in novacron-controlplane novacron-agent; do
    [ "$(systemctl is-enabled $unit)" = enabled ] || die "$unit is not enabled"
    [ "$(systemctl is-active $unit)" = inactive ] || die "$unit runs before it is set up"
    [ "$(systemctl is-failed $unit)" = inactive ] || die "$unit has failed"
done
[ "$(stat -c '%U %a' /var/lib/novacron/controlplane)" = "novacron 700" ] || die "the member's directory"
[ "$(stat -c '%U %a' /var/lib/novacron/agent)" = "root 711" ] || die "the agent's directory"
must test -s /usr/share/bash-completion/completions/novacron
must test -s /usr/share/doc/novacron-agent/LICENSE-APACHE

step "a cluster of one member is made and runs under its sandbox"
sed -i 's/^#advertise = .*/advertise = "127.0.0.1:7410"/; s/^#api_advertise = .*/api_advertise = "127.0.0.1:7411"/' \
    /etc/novacron/controlplane.toml
must runuser -u novacron -- novacron-controlplane init --cluster-name packaged
must systemctl start novacron-controlplane
active novacron-controlplane
[ "$(of novacron-controlplane User)" = novacron ] || die "the member's user"
eventually 20 nc cluster status

step "an agent joins and drives $1"
sed -i "s|^#hypervisor = .*|hypervisor = \"$1\"|" /etc/novacron/agent.toml
must novacron-agent join "$(nc token create --role host)"
must systemctl start novacron-agent
active novacron-agent
host_is_connected() { nc host list | grep -q ' connected'; }
eventually 30 host_is_connected

step "a VM runs"
must nc image import tiny --kernel "$GUEST/vmlinuz" --initrd "$GUEST/initrd.img" --cmdline 'console=ttyS0 quiet panic=-1'
must nc vm create web1 --image tiny --memory 128MiB
vm_is_running() { nc vm list | grep -q 'web1.*running'; }
eventually 60 vm_is_running
qemu=
if [ "$1" = qemu:///system ]; then
    must nc image import disk --disk "$GUEST/disk.raw"
    must nc vm create disk1 --image disk --memory 64MiB
    booted() { nc vm console web1 | grep -q 'NOVACRON GUEST READY'; }
    eventually 120 booted
    disk_booted() { nc vm console disk1 | grep -q 'NOVACRON DISK READY'; }
    eventually 120 disk_booted
    qemu=$(pgrep qemu-system | sort | tr '\n' ' ')
    [ "$(wc -w <<<"$qemu")" = 2 ] || die "two QEMUs, not: $qemu"
fi
same_vms() {
    [ -z "$qemu" ] || [ "$(pgrep qemu-system | sort | tr '\n' ' ')" = "$qemu" ] || die "VMs were touched: $1"
}

step "a restart of the agent touches no VM"
must systemctl restart novacron-agent
active novacron-agent
eventually 30 host_is_connected
eventually 30 vm_is_running
same_vms restart

step "the watchdog restarts daemons that hang"
for unit in novacron-agent novacron-controlplane; do
    mkdir -p "/run/systemd/system/$unit.service.d"
    printf '[Service]\nWatchdogSec=3\nTimeoutAbortSec=2\n' >"/run/systemd/system/$unit.service.d/fast.conf"
done
must systemctl daemon-reload
for unit in novacron-agent novacron-controlplane; do
    must systemctl restart "$unit"
    restarts=$(of "$unit" NRestarts)
    kill -STOP "$(of "$unit" MainPID)"
    eventually 30 restarted "$unit" "$restarts"
    eventually 30 systemctl is-active --quiet "$unit"
    # Fed for longer than its limit, it stays.
    restarts=$(of "$unit" NRestarts)
    sleep 5
    [ "$(of "$unit" NRestarts)" = "$restarts" ] || die "$unit does not feed its watchdog"
done
eventually 30 host_is_connected
eventually 30 vm_is_running
same_vms watchdog

step "kill -9 of both daemons touches no VM, and both come back"
for unit in novacron-agent novacron-controlplane; do
    kill -9 "$(of "$unit" MainPID)"
done
eventually 30 host_is_connected
eventually 30 vm_is_running
same_vms kill

step "a reboot of the daemons goes on where they were, SIGTERM ends them cleanly"
must systemctl stop novacron-agent novacron-controlplane
for unit in novacron-agent novacron-controlplane; do
    [ "$(of $unit Result)" = success ] || die "$unit ended with $(of $unit Result)"
done
must systemctl start novacron-controlplane novacron-agent
eventually 30 host_is_connected
eventually 30 vm_is_running
same_vms stop

rss_mib() { awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$(of "$1" MainPID)/status"; }
step "the doctor finds nothing; resident: member $(rss_mib novacron-controlplane) MiB, agent $(rss_mib novacron-agent) MiB"
must nc doctor

step "removal leaves nothing of ours running, VMs and data stay"
must dpkg -r novacron novacron-agent novacron-controlplane
if pgrep -x 'novacron.*' >/dev/null; then die "something still runs: $(pgrep -ax 'novacron.*')"; fi
must test ! -e /usr/bin/novacron-agent
same_vms removal
must test -s /var/lib/novacron/controlplane/identity.pem
must dpkg -P novacron novacron-agent novacron-controlplane
must test ! -e /etc/novacron/agent.toml
[ -z "$(systemctl list-unit-files --no-legend 'novacron-[ac]*')" ] || die "unit files are left"

# So that the container need not wait for guests that nobody shuts down.
if [ -n "$qemu" ]; then virsh list --name | while read -r vm; do [ -z "$vm" ] || virsh destroy "$vm"; done; fi

echo PASSED
