//! Two tiny guests: a Linux that boots in 3 s under emulation, and a 1 MiB disk.
//!
//! The Linux is Debian's cloud kernel, unpacked and not installed, with an initrd of busybox and
//! two kernel modules. The disk is a boot sector of our own. Both say on the serial console that
//! they are up, and go on saying that they live.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::process;

/// The files of the tiny guests, on disk.
#[derive(Debug, Clone)]
pub struct Guest {
    pub kernel: PathBuf,
    pub initrd: PathBuf,
    pub disk: PathBuf,
}

/// What every Linux guest prints once, followed by a space and the VM's UUID.
pub const READY: &str = "NOVACRON GUEST READY";
/// What it prints every second, followed by a number that counts up.
pub const TICK: &str = "NOVACRON TICK";
/// What it prints when its power button was pressed.
pub const STOPPING: &str = "NOVACRON GUEST STOPPING";
/// What the disk prints when it was booted from; a dot each second follows.
pub const DISK_READY: &str = "NOVACRON DISK READY";
pub const CMDLINE: &str = "console=ttyS0 quiet panic=-1";

impl Guest {
    /// The guest from `cache`, built first when it is missing or was built differently.
    pub fn obtain(cache: &Path) -> Result<Self> {
        fs::create_dir_all(cache)?;
        let _turn = process::lock(&cache.join("lock"))?;
        let guest = Self::in_dir(cache);
        let stamp = cache.join("stamp");
        let recipe = format!("{INIT}{POWER_BUTTON}{}", include_str!("guest.rs"));
        if fs::read_to_string(&stamp).is_ok_and(|built| built == recipe) {
            return Ok(guest);
        }
        let work = cache.join("work");
        let _ = fs::remove_dir_all(&work);
        fs::create_dir_all(&work)?;
        build(&work, &guest).context("build the tiny guest")?;
        fs::remove_dir_all(&work)?;
        fs::write(&stamp, recipe)?;
        Ok(guest)
    }

    fn in_dir(dir: &Path) -> Self {
        let file = |name| dir.join(name);
        Self { kernel: file("vmlinuz"), initrd: file("initrd.img"), disk: file("disk.raw") }
    }
}

/// The number of the newest tick on a console; `None` before the first.
pub fn newest_tick(console: &str) -> Option<u64> {
    // Only whole lines: the last one may still be written.
    let (whole, _) = console.rsplit_once('\n')?;
    whole.lines().rev().find_map(|line| line.trim().strip_prefix(TICK)?.trim().parse().ok())
}

/// How often the guest called `uuid` has come up on this console.
pub fn boots(console: &str, uuid: &str) -> usize {
    let marker = format!("{READY} {uuid} ");
    console.lines().filter(|line| line.contains(&marker)).count()
}

fn build(work: &Path, guest: &Guest) -> Result<()> {
    let modules = unpack_kernel(work, &guest.kernel)?;
    build_initrd(work, &modules, &guest.initrd)?;
    fs::write(&guest.disk, boot_disk())?;
    Ok(())
}

/// Downloads the kernel's package and takes `vmlinuz` out; gives the directory of its modules.
fn unpack_kernel(work: &Path, vmlinuz: &Path) -> Result<PathBuf> {
    let package = match kernel_package() {
        Ok(package) => package,
        // A fresh system may have no package lists yet.
        Err(_) => {
            process::run("apt-get", &["-q", "update"])?;
            kernel_package()?
        }
    };
    let unsandboxed = "APT::Sandbox::User=root";
    process::output(
        Command::new("apt-get")
            .args(["-q", "-o", unsandboxed, "download", &package])
            .current_dir(work),
    )?;
    let deb = fs::read_dir(work)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .context("find the downloaded kernel package")?;
    let root = work.join("kernel");
    process::output(Command::new("dpkg-deb").arg("-x").arg(&deb).arg(&root))?;
    let boot = root.join("boot");
    let kernel = fs::read_dir(&boot)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.file_name().is_some_and(|n| n.to_string_lossy().starts_with("vmlinuz")))
        .with_context(|| format!("find vmlinuz in {package}"))?;
    fs::copy(&kernel, vmlinuz)?;
    Ok(root.join("lib/modules"))
}

/// The versioned package behind Debian's `linux-image-cloud-amd64`.
fn kernel_package() -> Result<String> {
    let depends = process::run("apt-cache", &["depends", "linux-image-cloud-amd64"])?;
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
    name.map(|name| name.trim().to_owned()).context("find Debian's cloud kernel in apt's lists")
}

fn build_initrd(work: &Path, modules: &Path, initrd: &Path) -> Result<()> {
    let root = work.join("initrd");
    for dir in ["bin", "proc", "sys", "dev", "lib", "etc/acpi/PWRF"] {
        fs::create_dir_all(root.join(dir))?;
    }
    fs::copy(busybox()?, root.join("bin/busybox"))?;
    for module in ["button.ko", "evdev.ko"] {
        if let Some(found) = find(modules, module)? {
            fs::copy(found, root.join("lib").join(module))?;
        }
    }
    // The file name is the event that busybox's acpid hears from the power button.
    for (path, text) in [("init", INIT), ("etc/acpi/PWRF/00000080", POWER_BUTTON)] {
        fs::write(root.join(path), text)?;
        fs::set_permissions(root.join(path), Permissions::from_mode(0o755))?;
    }
    let script = "find . | LC_ALL=C sort | cpio --quiet --reproducible -o -H newc | gzip -9 -n";
    let pack = Command::new("sh").args(["-c", script]).current_dir(&root).output()?;
    ensure!(pack.status.success() && pack.stdout.len() > 100_000, "pack the initrd");
    fs::write(initrd, pack.stdout)?;
    Ok(())
}

fn busybox() -> Result<PathBuf> {
    let places = ["/bin/busybox", "/usr/bin/busybox"];
    let found = places.into_iter().map(PathBuf::from).find(|path| path.exists());
    found.context("find busybox (package busybox-static)")
}

fn find(dir: &Path, name: &str) -> Result<Option<PathBuf>> {
    let found = process::output(Command::new("find").arg(dir).args(["-name", name]))?;
    Ok(found.lines().next().map(PathBuf::from))
}

/// A raw disk whose boot sector prints [`DISK_READY`] on the first serial port, then a dot each
/// second. It has no power button: stopping it takes force.
fn boot_disk() -> Vec<u8> {
    const CODE: [u8; 36] = [
        0x31, 0xc0, // xor ax, ax
        0x8e, 0xd8, // mov ds, ax
        0xbe, 0x24, 0x7c, // mov si, 0x7c24: the text, right behind the code
        0xba, 0xf8, 0x03, // mov dx, 0x3f8: the first serial port
        0xac, // lodsb
        0x84, 0xc0, // test al, al
        0x74, 0x03, // jz over the next two
        0xee, // out dx, al
        0xeb, 0xf8, // jmp back to lodsb
        0xb4, 0x86, // mov ah, 0x86: BIOS wait of cx:dx microseconds
        0xb9, 0x0f, 0x00, // mov cx, 0x000f
        0xba, 0x40, 0x42, // mov dx, 0x4240: 1,000,000 together
        0xcd, 0x15, // int 0x15
        0xba, 0xf8, 0x03, // mov dx, 0x3f8
        0xb0, b'.', // mov al, '.'
        0xee, // out dx, al
        0xeb, 0xee, // jmp back to the wait
    ];
    let mut disk = vec![0; 1 << 20];
    disk[..CODE.len()].copy_from_slice(&CODE);
    let text = format!("{DISK_READY}\r\n");
    disk[CODE.len()..CODE.len() + text.len()].copy_from_slice(text.as_bytes());
    disk[510..512].copy_from_slice(&[0x55, 0xaa]);
    disk
}

const INIT: &str = include_str!("../../guest/init");
const POWER_BUTTON: &str = include_str!("../../guest/power-button");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_from_whole_lines_only() {
        assert_eq!(newest_tick("NOVACRON TICK 1\r\nNOVACRON TICK 2\r\nNOVACRON TICK 3"), Some(2));
        assert_eq!(newest_tick("NOVACRON TICK 1"), None);
        assert_eq!(newest_tick("SeaBIOS\nNOVACRON GUEST READY x\n"), None);
    }

    #[test]
    fn a_boot_counts_for_its_own_vm_only() {
        let console = "NOVACRON GUEST READY aa linux\nx\nNOVACRON GUEST READY aa linux\n";
        assert_eq!((boots(console, "aa"), boots(console, "ab")), (2, 0));
    }

    #[test]
    fn the_boot_sector_is_signed_and_its_text_is_where_the_code_looks() {
        let disk = boot_disk();
        assert_eq!((disk.len(), &disk[510..512]), (1 << 20, [0x55, 0xaa].as_slice()));
        assert!(disk[0x24..].starts_with(DISK_READY.as_bytes()));
    }
}
