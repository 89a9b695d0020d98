//! TUN devices that carry large packets whole.
//!
//! With a virtio-net header before each packet and the offloads on, the kernel hands over what a
//! sender wrote in one go (up to 64 KiB of TCP, or of UDP datagrams of one size) with the size to
//! cut it into, and takes such packets back. A packet costs a system call and a walk through the
//! stack whatever its size, so this is what makes a fast link possible on a small machine.

#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{OFlags, fcntl_setfl};
use rustix::ioctl::{self, IntegerSetter, Setter};

/// One end of the link, as the kernel sees it: a device in a network namespace.
#[derive(Debug)]
pub(crate) struct Tun {
    fd: OwnedFd,
}

impl Tun {
    /// Makes the device `name` in the network namespace of the calling thread. It is gone when the
    /// last descriptor is.
    pub(crate) fn create(name: &str) -> io::Result<Self> {
        let fd = OwnedFd::from(File::options().read(true).write(true).open(DEVICE)?);
        let request = Request::new(name)?;
        // SAFETY: TUNSETIFF reads a `struct ifreq`, whose layout and size `Request` has.
        unsafe { ioctl::ioctl(&fd, Setter::<TUNSETIFF, Request>::new(request)) }?;
        // SAFETY: TUNSETOFFLOAD takes a plain number.
        unsafe { ioctl::ioctl(&fd, IntegerSetter::<TUNSETOFFLOAD>::new_usize(OFFLOADS)) }?;
        fcntl_setfl(&fd, OFlags::NONBLOCK)?;
        Ok(Self { fd })
    }

    /// A packet that the namespace sends, behind its virtio-net header; `None` if there is none.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> io::Result<Option<usize>> {
        match rustix::io::read(&self.fd, buffer) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Gives a packet behind its virtio-net header, in parts, to the namespace.
    pub(crate) fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        rustix::io::writev(&self.fd, parts)?;
        Ok(())
    }
}

impl AsFd for Tun {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `struct ifreq` of linux/if.h, as TUNSETIFF reads it.
#[repr(C)]
#[derive(Debug)]
struct Request {
    name: [u8; 16],
    flags: u16,
    /// The rest of the union.
    rest: [u8; 22],
}

impl Request {
    fn new(name: &str) -> io::Result<Self> {
        let mut request = Self { name: [0; 16], flags: FLAGS, rest: [0; 22] };
        if name.len() >= request.name.len() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "a device's name is too long"));
        }
        request.name[..name.len()].copy_from_slice(name.as_bytes());
        Ok(request)
    }
}

/// Largest packet and its header; what a 16-bit length can say, and some for the header.
pub(crate) const PACKET_BYTES_MAX: usize = 65_535 + 64;

const DEVICE: &str = "/dev/net/tun";
// From linux/if_tun.h: `_IOW('T', 202, int)` and `_IOW('T', 208, unsigned int)`.
const TUNSETIFF: ioctl::Opcode = 0x4004_54ca;
const TUNSETOFFLOAD: ioctl::Opcode = 0x4004_54d0;
/// `IFF_TUN | IFF_NO_PI | IFF_VNET_HDR`: IP packets, behind a virtio-net header only.
const FLAGS: u16 = 0x0001 | 0x1000 | 0x4000;
/// `TUN_F_CSUM | TUN_F_TSO4 | TUN_F_USO4 | TUN_F_USO6`; the kernel takes both of USO or none.
const OFFLOADS: usize = 0x01 | 0x02 | 0x20 | 0x40;
