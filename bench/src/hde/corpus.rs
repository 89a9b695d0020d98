//! What is sent: made on the spot, of real things.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use novacron_protocol::codec;
use novacron_tests::lab::guest::{self, Guest};
use novacron_tests::lab::process;

use super::samples;
use crate::fleet::say;
use crate::workspace;

/// Content to send, by name.
#[derive(Debug)]
pub(crate) struct Corpus {
    pub(crate) name: &'static str,
    pub(crate) content: Bytes,
}

/// How long a guest may take to boot under emulation on a busy machine.
const BOOT_PATIENCE: Duration = Duration::from_secs(180);
/// Real files that a guest has in memory and a disk image holds.
const FILES_BYTES: u64 = 120 << 20;
const GUEST_MIB: usize = 384;

/// Makes all corpora, none longer than `max` bytes.
pub(crate) fn make(cache: &Path, dir: &Path, max: usize) -> Result<Vec<Corpus>> {
    let tree = dir.join("files");
    copy_files(&tree).context("collect real files")?;
    say("boots a guest and takes its memory");
    let memory = guest_memory(cache, dir, &tree)?;
    say("makes a disk image");
    let disk = disk_image(dir, &tree)?;
    say("samples this machine");
    let batches = samples::of_this_machine(samples::COUNT)?;
    let encoded: Result<Vec<Vec<u8>>, _> = batches.iter().map(codec::encode).collect();
    let memory = middle(&memory, max);
    let disk = middle(&disk, max);
    let compressed = zstd::encode_all(&disk[..], 9).context("compress")?;
    let corpora = vec![
        Corpus { name: "guest memory", content: memory },
        Corpus { name: "qcow2 image", content: disk },
        Corpus { name: "telemetry", content: encoded?.concat().into() },
        Corpus { name: "libvirt xml", content: xml()? },
        Corpus { name: "compressed", content: compressed.into() },
    ];
    for corpus in &corpora {
        say(&format!("{}: {} bytes", corpus.name, corpus.content.len()));
        ensure!(!corpus.content.is_empty(), "{} is empty", corpus.name);
    }
    Ok(corpora)
}

/// At most `max` bytes from the middle: the beginning of a memory or disk is not typical of it.
fn middle(content: &Bytes, max: usize) -> Bytes {
    let start = (content.len().saturating_sub(max) / 2) & !4095;
    content.slice(start..content.len().min(start + max))
}

/// Copies programs, libraries and texts of this machine, until there are enough.
fn copy_files(tree: &Path) -> Result<()> {
    fs::create_dir_all(tree)?;
    let mut left = FILES_BYTES;
    for dir in ["/usr/bin", "/usr/lib/python3.11", "/usr/share/perl", "/usr/share/doc", "/usr/lib"]
    {
        let list = ["-L", dir, "-type", "f", "-size", "-4000k", "-size", "+0"];
        let Ok(found) = process::output(Command::new("find").args(list)) else { continue };
        let share = left / 2;
        let mut taken = 0;
        for (at, path) in found.lines().enumerate() {
            if taken > share {
                break;
            }
            let name = format!("{}-{at}", dir.replace('/', "_"));
            taken += fs::copy(path, tree.join(name)).unwrap_or(0);
        }
        left = left.saturating_sub(taken);
    }
    Ok(())
}

/// The memory of the tiny guest, with the files in its page cache.
fn guest_memory(cache: &Path, dir: &Path, tree: &Path) -> Result<Bytes> {
    let guest = Guest::obtain(cache)?;
    let initrd = dir.join("initrd");
    fs::copy(&guest.initrd, &initrd)?;
    // A kernel unpacks archives one after the other.
    let append = format!("find . -type f | cpio --quiet -o -H newc >> {}", initrd.display());
    process::output(Command::new("sh").args(["-c", &append]).current_dir(tree))?;
    let (serial, dump) = (dir.join("serial"), dir.join("memory"));
    let mut qemu = Command::new("qemu-system-x86_64")
        .args(["-machine", "q35,accel=tcg", "-m", &GUEST_MIB.to_string(), "-display", "none"])
        .arg("-kernel")
        .arg(&guest.kernel)
        .arg("-initrd")
        .arg(&initrd)
        .args(["-append", guest::CMDLINE, "-monitor", "stdio", "-serial"])
        .arg(format!("file:{}", serial.display()))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .context("start qemu-system-x86_64")?;
    workspace::adopt(qemu.id());
    let deadline = Instant::now() + BOOT_PATIENCE;
    while !fs::read_to_string(&serial).is_ok_and(|console| console.contains(guest::READY)) {
        ensure!(qemu.try_wait()?.is_none(), "QEMU ended before its guest was up");
        ensure!(Instant::now() < deadline, "the guest did not boot within {BOOT_PATIENCE:?}");
        thread::sleep(Duration::from_millis(100));
    }
    let monitor = qemu.stdin.as_mut().context("QEMU's monitor")?;
    let bytes = GUEST_MIB << 20;
    writeln!(monitor, "pmemsave 0 {bytes} \"{}\"\nquit", dump.display())?;
    qemu.wait()?;
    let memory = fs::read(&dump).context("read the guest's memory")?;
    ensure!(memory.len() == bytes, "the dump has {} bytes", memory.len());
    Ok(memory.into())
}

/// A qcow2 with a file system full of the files.
fn disk_image(dir: &Path, tree: &Path) -> Result<Bytes> {
    let file = |name: &str| -> PathBuf { dir.join(name) };
    let (raw, qcow2) = (file("disk.raw"), file("disk.qcow2"));
    let mke2fs = if Path::new("/sbin/mke2fs").exists() { "/sbin/mke2fs" } else { "mke2fs" };
    process::output(
        Command::new(mke2fs).args(["-q", "-F", "-t", "ext4", "-d"]).arg(tree).arg(&raw).arg("256M"),
    )?;
    process::output(
        Command::new("qemu-img").args(["convert", "-O", "qcow2"]).arg(&raw).arg(&qcow2),
    )?;
    Ok(fs::read(&qcow2).context("read the disk image")?.into())
}

/// What libvirt says of a test host, and the documents that it ships.
fn xml() -> Result<Bytes> {
    let mut text = String::new();
    for words in [&["capabilities"][..], &["dumpxml", "test"], &["net-dumpxml", "default"]] {
        let output =
            process::output(Command::new("virsh").args(["-c", "test:///default"]).args(words));
        text.push_str(&output.context("ask libvirt's test driver")?);
    }
    for dir in ["/usr/share/libvirt/schemas", "/usr/share/libvirt/cpu_map"] {
        let Ok(entries) = fs::read_dir(dir) else { continue };
        let mut paths: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        for path in paths {
            text.push_str(&fs::read_to_string(path).unwrap_or_default());
        }
    }
    Ok(text.into_bytes().into())
}
