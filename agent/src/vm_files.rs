//! What a VM has on this host's disk: `<vms_dir>/<id>/` with its disk, its console's log, and the
//! digests of the image files that its disk stands on.

use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use novacron_protocol::image::FileRole;
use novacron_protocol::limits::CONSOLE_TAIL_BYTES_MAX;
use novacron_protocol::vm::DesiredVm;
use novacron_protocol::{Digest, VmId};

use crate::files;
use crate::hypervisor::{DomainSpec, KernelBoot};
use crate::images::{BlobSource, ImageError, ImageStore, overlay};

/// The directory of all VMs.
#[derive(Debug, Clone)]
pub struct VmFiles {
    dir: PathBuf,
}

/// The hypervisor's user reaches its files through these directories and may not list them.
pub const DIR_MODE: u32 = 0o711;
/// A console's log that is longer is put aside before the next start, and the one put aside
/// before goes. libvirt's own log daemon does so at 2 MiB; this is for hosts without it.
const CONSOLE_LOG_BYTES_MAX: u64 = 8 << 20;
const DISK: &str = "disk.qcow2";
const CONSOLE: &str = "console.log";
const BASES: &str = "bases";

impl VmFiles {
    /// Uses `dir`, which is made if it is not there.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        make_dir(&dir)?;
        Ok(Self { dir })
    }

    /// What the domain of `vm` is made from.
    pub fn domain_spec(&self, vm: &DesiredVm, images: &ImageStore) -> DomainSpec {
        let path = |role| vm.boot.file(role).map(|file| images.path(file.digest));
        let kernel = path(FileRole::Kernel).map(|kernel| KernelBoot {
            kernel,
            initrd: path(FileRole::Initrd),
            cmdline: vm.boot.cmdline.clone(),
        });
        DomainSpec {
            vm: vm.id,
            name: vm.name.clone(),
            revision: vm.revision,
            cpus: vm.spec.cpus,
            memory: vm.spec.memory,
            kernel,
            disk: vm.boot.disk().map(|_| self.of(vm.id).join(DISK)),
            console_log: Some(self.of(vm.id).join(CONSOLE)),
        }
    }

    /// Has all that the VM boots from. Safe to give up at any point, and to repeat.
    pub async fn prepare(
        &self,
        vm: &DesiredVm,
        images: &ImageStore,
        source: &impl BlobSource,
    ) -> Result<(), ImageError> {
        let dir = self.of(vm.id);
        // First of all, so that no file is collected that this VM is about to use.
        self.note_bases(&dir, vm).map_err(|error| disk(&error))?;
        images.ensure(&vm.boot, source).await?;
        let made = vm.boot.disk().map(|image| (image.clone(), images.path(image.digest)));
        let size = vm.spec.disk;
        let prepared = tokio::task::spawn_blocking(move || {
            put_console_aside(&dir.join(CONSOLE)).map_err(|error| disk(&error))?;
            match made {
                Some((image, base)) => overlay::ensure(&dir.join(DISK), &image, &base, size),
                None => Ok(()),
            }
        });
        prepared.await.expect("the work does not panic, and the runtime outlives it")
    }

    /// Removes all of a VM's files; none is no error.
    pub fn remove(&self, vm: VmId) -> io::Result<()> {
        files::remove_all(&self.of(vm))
    }

    /// The newest `max` bytes of a VM's console.
    pub fn console_tail(&self, vm: VmId, max: u32) -> io::Result<Vec<u8>> {
        let max = u64::from(max).min(CONSOLE_TAIL_BYTES_MAX as u64);
        let mut file = File::open(self.of(vm).join(CONSOLE))?;
        let len = file.metadata()?.len();
        file.seek(SeekFrom::Start(len.saturating_sub(max)))?;
        let mut tail = Vec::new();
        file.take(max).read_to_end(&mut tail)?;
        Ok(tail)
    }

    /// Digests of the image files that any VM's files here stand on, wanted or not.
    pub fn bases(&self) -> io::Result<Vec<Digest>> {
        let mut bases = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let text = match fs::read_to_string(entry?.path().join(BASES)) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for line in text.lines() {
                bases.push(line.parse().map_err(io::Error::other)?);
            }
        }
        Ok(bases)
    }

    fn of(&self, vm: VmId) -> PathBuf {
        self.dir.join(vm.to_string())
    }

    /// Adds: a VM's disk keeps standing on the image that it was made from.
    fn note_bases(&self, dir: &Path, vm: &DesiredVm) -> io::Result<()> {
        make_dir(dir)?;
        let path = dir.join(BASES);
        let noted = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error),
        };
        let mut text = noted.clone();
        for file in &vm.boot.files {
            let line = format!("{}\n", file.digest);
            if !text.contains(&line) {
                text.push_str(&line);
            }
        }
        if text == noted {
            return Ok(());
        }
        files::replace(&path, text.as_bytes(), files::Sync::Yes)
    }
}

fn put_console_aside(console: &Path) -> io::Result<()> {
    match fs::metadata(console) {
        Ok(found) if found.len() > CONSOLE_LOG_BYTES_MAX => {
            fs::rename(console, console.with_extension("log.0"))
        }
        _ => Ok(()),
    }
}

/// Makes `dir` so that others can reach into it and not list it.
pub fn make_dir(dir: &Path) -> io::Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).mode(DIR_MODE).create(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(DIR_MODE))
}

fn disk(error: &io::Error) -> ImageError {
    ImageError::Refused(format!("cannot make the VM's files: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::desired_vm;

    #[test]
    fn a_console_tail_is_the_newest_part_and_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let vms = VmFiles::open(dir.path().join("vms")).unwrap();
        let vm = desired_vm(1);
        assert!(vms.console_tail(vm.id, 10).is_err(), "there is none");
        vms.note_bases(&vms.of(vm.id), &vm).unwrap();
        let mut content = vec![b'x'; CONSOLE_TAIL_BYTES_MAX + 10];
        content.extend(b"login:");
        fs::write(vms.of(vm.id).join(CONSOLE), content).unwrap();
        assert_eq!(vms.console_tail(vm.id, 6).unwrap(), b"login:");
        let all = vms.console_tail(vm.id, u32::MAX).unwrap();
        assert_eq!(all.len(), CONSOLE_TAIL_BYTES_MAX);
        assert!(all.ends_with(b"login:"));
    }

    #[test]
    fn the_bases_of_all_vms_on_disk_are_known_also_of_those_that_left_the_set() {
        let dir = tempfile::tempdir().unwrap();
        let vms = VmFiles::open(dir.path().join("vms")).unwrap();
        let mut vm = desired_vm(1);
        vms.note_bases(&vms.of(vm.id), &vm).unwrap();
        let old = vm.boot.files[0].digest;
        vm.boot.files[0].digest = Digest::of(b"newer kernel");
        vms.note_bases(&vms.of(vm.id), &vm).unwrap();
        assert_eq!(vms.bases().unwrap(), [old, Digest::of(b"newer kernel")]);
        vms.remove(vm.id).unwrap();
        vms.remove(vm.id).expect("none is no error");
        assert_eq!(vms.bases().unwrap(), []);
    }
}
