//! Whether the kernel runs guests: a `/dev/kvm` that opens is no proof.

#![allow(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Makes a virtual machine with one virtual CPU and lets go of it; says what did not work.
pub(super) fn probe() -> Result<(), String> {
    let device = File::options()
        .read(true)
        .write(true)
        .open("/dev/kvm")
        .map_err(|error| format!("/dev/kvm does not open: {error}"))?;
    let machine = make(&device, KVM_CREATE_VM)
        .map_err(|error| format!("the kernel makes no virtual machine: {error}"))?;
    make(&machine, KVM_CREATE_VCPU)
        .map_err(|error| format!("the kernel makes no virtual CPU: {error}"))?;
    Ok(())
}

/// `_IO(KVMIO, 0x01)` and `_IO(KVMIO, 0x41)` of linux/kvm.h; both take a number and give a file.
const KVM_CREATE_VM: libc::Ioctl = 0xae01;
const KVM_CREATE_VCPU: libc::Ioctl = 0xae41;

fn make(parent: &impl AsRawFd, request: libc::Ioctl) -> io::Result<OwnedFd> {
    // SAFETY: the file is open; both requests take a plain number (0: the default machine type,
    // the first CPU) and give a new file descriptor, which nobody else owns.
    unsafe {
        let fd = libc::ioctl(parent.as_raw_fd(), request, 0);
        if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(OwnedFd::from_raw_fd(fd)) }
    }
}
