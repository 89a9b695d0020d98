//! Gives back the memory that loading libvirt took and nobody uses.
//!
//! libvirt's client library brings 50 others along. The loader and libvirt's own start touch some
//! 12 MiB of their code and constants once; an agent at rest uses a quarter of that. Such pages
//! are unchanged copies of files: the kernel may forget them, and reads them again when touched.

#![allow(unsafe_code)]

use std::io::{self, BufRead as _, BufReader};

/// To be called first of all in `main`, while there is one thread.
pub fn keep_footprint_small() {
    #[cfg(target_env = "gnu")]
    // SAFETY: sets a number before any other thread could allocate. glibc otherwise gives each
    // thread a heap of its own, and the dozen threads of an agent are nearly always at rest.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 2);
    }
    release_untouched_pages();
}

/// Lets go of all pages that are unchanged parts of program files. What is used comes back.
pub(super) fn release_untouched_pages() {
    // Not worth more than this line: the process is then a few MiB larger, and works as well.
    if let Err(error) = release() {
        tracing::debug!(%error, "cannot release pages of program files");
    }
}

fn release() -> io::Result<()> {
    let mut mapping = None;
    for line in BufReader::new(std::fs::File::open("/proc/self/smaps")?).lines() {
        let line = line?;
        if let Some(found) = Mapping::parse(&line) {
            mapping = Some(found);
        } else if line.split_ascii_whitespace().eq(["Anonymous:", "0", "kB"])
            && let Some(mapping) = mapping.take().filter(Mapping::is_of_a_program)
        {
            mapping.forget();
        }
    }
    Ok(())
}

/// One line of `/proc/self/smaps` that begins a mapping.
struct Mapping {
    begin: usize,
    end: usize,
    permissions: String,
    path: String,
}

impl Mapping {
    /// `7f3fab4aa000-7f3fab4ac000 r-xp 00001000 fe:01 131092   /lib/libvirt.so.0`
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let (begin, end) = words.next()?.split_once('-')?;
        let address = |text| usize::from_str_radix(text, 16).ok();
        let (begin, end) = (address(begin)?, address(end)?);
        let permissions = words.next()?.to_owned();
        let path = words.nth(3).unwrap_or_default().to_owned();
        Some(Self { begin, end, permissions, path })
    }

    /// Private, not writable, and from a file: with no anonymous page in it, it was never changed.
    fn is_of_a_program(&self) -> bool {
        matches!(&*self.permissions, "r--p" | "r-xp") && self.path.starts_with('/')
    }

    fn forget(self) {
        // SAFETY: the range is one mapping of this process, as the kernel just said. It cannot be
        // written to and holds no page that differs from its file, so every page comes back as it
        // was. What maps and unmaps here is the loader, and it does not while libraries are at rest.
        let released = unsafe {
            libc::madvise(
                self.begin as *mut libc::c_void,
                self.end - self.begin,
                libc::MADV_DONTNEED,
            )
        };
        if released != 0 {
            tracing::trace!(path = self.path, "the kernel keeps a mapping");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_unchanged_program_files_are_let_go() {
        let of = |line| Mapping::parse(line).map(|mapping| mapping.is_of_a_program());
        assert_eq!(of("7f00-7f10 r-xp 0000 fe:01 13 /lib/libvirt.so.0"), Some(true));
        assert_eq!(of("7f00-7f10 rw-p 0000 fe:01 13 /lib/libvirt.so.0"), Some(false));
        assert_eq!(of("7f00-7f10 r--s 0000 fe:01 13 /data/db"), Some(false));
        assert_eq!(of("7f00-7f10 r-xp 0000 00:00 0 [vdso]"), Some(false));
        assert_eq!(of("7f00-7f10 r--p 0000 00:00 0"), Some(false));
        assert_eq!(of("Rss:                 4 kB"), None);
    }

    #[test]
    fn the_program_works_after_its_pages_were_released() {
        release().unwrap();
        let text = format!("{:?}", virt::connect::Connect::version());
        assert!(text.starts_with("Ok"), "{text}");
    }
}
