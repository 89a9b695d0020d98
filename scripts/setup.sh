#!/bin/sh
# Installs what NovaCron needs from Debian, and nothing when nothing is missing.
#
#   scripts/setup.sh build      compiler, pkg-config, libvirt's headers
#   scripts/setup.sh lab        libvirt, QEMU and the tools that the demo and the tests drive
#   scripts/setup.sh check      systemd-analyze, rustfmt, clippy, cargo-deny
#   scripts/setup.sh package    cargo-deb
#   scripts/setup.sh fuzz       a C++ compiler, for the fuzzer's own library
#
# Several may be named at once. Idempotent; well under a second when there is nothing to do.
set -eu

BUILD="gcc libc6-dev make libvirt-dev pkg-config"
LAB="libvirt-daemon libvirt-daemon-system libvirt-daemon-driver-qemu libvirt-clients
     qemu-system-x86 qemu-utils dnsmasq-base busybox-static cpio gzip iproute2 util-linux procps"
CHECK="systemd"
PACKAGE="dpkg-dev"
FUZZ="g++"

say() { printf 'setup: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }
have() { command -v "$1" >/dev/null 2>&1; }

# Root's commands: as we are, through sudo, or not at all.
as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif have sudo; then
        sudo -- "$@"
    else
        die "needs root to install packages, and there is no sudo: run 'scripts/setup.sh $MODES' as root"
    fi
}

# apt-get, silent unless it fails.
apt() {
    log=$(mktemp)
    if as_root env DEBIAN_FRONTEND=noninteractive apt-get -q \
        -o Dpkg::Use-Pty=0 -o Acquire::Retries=3 "$@" >"$log" 2>&1; then
        rm -f "$log"
        return 0
    fi
    tail -n 20 "$log" >&2
    rm -f "$log"
    return 1
}

is_installed() {
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null || true)" = installed ]
}

# Without dpkg only the presence of the tools can be asked for.
require_tools() {
    have cc || die "no C compiler: install gcc"
    have pkg-config || die "no pkg-config: install it"
    pkg-config --exists libvirt || die "libvirt's headers are missing: install libvirt-devel"
    case " $MODES " in
    *" lab "*)
        for tool in libvirtd virsh qemu-system-x86_64 qemu-img busybox cpio ip nsenter unshare; do
            have "$tool" || die "$tool is missing: install it with this system's package manager"
        done
        ;;
    esac
}

install_packages() {
    if ! have apt-get || ! have dpkg-query; then
        require_tools
        return
    fi
    missing=
    for package in "$@"; do
        is_installed "$package" || missing="$missing $package"
    done
    [ -n "$missing" ] || return 0
    # shellcheck disable=SC2086
    say "installing" $missing
    apt update || say "could not refresh the package lists; trying with what is there"
    # shellcheck disable=SC2086 # a list of words on purpose
    apt install -y --no-install-recommends $missing && return 0
    # Seen with qemu-utils from backports: it breaks the release's qemu-system-common, and apt
    # never downgrades by itself. Both come from one source package, so one version fits both.
    version=$(apt-cache policy qemu-system-x86 | awk '/Candidate:/ { print $2 }')
    [ -n "$version" ] || die "could not install:$missing"
    say "trying again with qemu-utils at $version, the version of qemu-system-x86"
    # shellcheck disable=SC2086
    apt install -y --no-install-recommends --allow-downgrades $missing "qemu-utils=$version" ||
        die "could not install:$missing"
}

# Installs a cargo tool without optimisation: built once, run for a second at a time.
install_cargo_tool() {
    have "$1" && return 0
    [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/$1" ] && return 0
    say "building $1 (about a minute)"
    CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=false \
        cargo install --quiet --locked "$1" >&2
}

install_rust_components() {
    for component in rustfmt clippy; do
        tool=cargo-fmt
        [ "$component" = clippy ] && tool=cargo-clippy
        have "$tool" && continue
        have rustup || die "$component is missing and there is no rustup to install it with"
        rustup component add "$component" >&2
    done
}

require_rust() {
    have cargo || die "no Rust toolchain: install one from https://rustup.rs, then try again"
}

MODES="${*:-build lab}"
packages=
for mode in $MODES; do
    case "$mode" in
    build) packages="$packages $BUILD" ;;
    lab) packages="$packages $LAB" ;;
    check) packages="$packages $CHECK" ;;
    package) packages="$packages $PACKAGE" ;;
    fuzz) packages="$packages $FUZZ" ;;
    tools) ;;
    *) die "unknown mode '$mode': build, lab, check, package, fuzz" ;;
    esac
done

# shellcheck disable=SC2086
install_packages $packages
for mode in $MODES; do
    case "$mode" in
    build) require_rust ;;
    check | tools)
        require_rust
        install_rust_components
        install_cargo_tool cargo-deny
        ;;
    package)
        require_rust
        install_cargo_tool cargo-deb
        ;;
    esac
done
