//! A disk in memory that remembers what was synced, and what a power cut may make of the rest.
//!
//! The rules are the weakest that POSIX and disks give: of what was not synced, each sector of each
//! write and each change of a name may have happened or not, in any combination. A sector is whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use super::super::SECTOR_BYTES;
use crate::raft::disk::{Disk, DiskFile};

/// Numbers without an end, the same for the same seed (xorshift64*, Vigna 2016).
#[derive(Debug, Clone)]
pub(super) struct Dice(u64);

impl Dice {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub(super) fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }
}

/// How much of what was not synced a power cut leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    Nothing,
    Everything,
    Some,
}

type FileId = usize;

#[derive(Debug, Clone)]
enum Change {
    Name { name: String, file: FileId },
    Rename { from: String, to: String, file: FileId },
    Remove { name: String },
}

#[derive(Debug, Clone, Default)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Writes since the last sync.
    unsynced: Vec<(usize, Vec<u8>)>,
}

#[derive(Debug, Clone, Default)]
struct State {
    files: Vec<Content>,
    names: BTreeMap<String, FileId>,
    durable_names: BTreeMap<String, FileId>,
    unsynced_names: Vec<Change>,
    /// Calls that changed something, so far.
    steps: u64,
    /// Fails the sync after this many steps, for ever.
    fails_at: Option<u64>,
}

/// What is called on the disk, right after each change.
type Watcher = Box<dyn FnMut(&MemoryDisk) + Send>;

#[derive(Clone, Default)]
pub(super) struct MemoryDisk {
    state: Arc<Mutex<State>>,
    watcher: Arc<Mutex<Option<Watcher>>>,
}

impl std::fmt::Debug for MemoryDisk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MemoryDisk")
    }
}

impl MemoryDisk {
    /// Has `watcher` called after every change.
    pub(super) fn watch(&self, watcher: impl FnMut(&Self) + Send + 'static) {
        *self.watcher.lock().unwrap() = Some(Box::new(watcher));
    }

    pub(super) fn unwatch(&self) {
        *self.watcher.lock().unwrap() = None;
    }

    /// Every sync from now on fails.
    pub(super) fn fail(&self) {
        let mut state = self.state.lock().unwrap();
        state.fails_at = Some(state.steps);
    }

    pub(super) fn heal(&self) {
        self.state.lock().unwrap().fails_at = None;
    }

    /// What is found after the power went now.
    pub(super) fn after_power_cut(&self, cut: Cut, dice: &mut Dice) -> Self {
        let before = self.state.lock().unwrap();
        let mut stays = || match cut {
            Cut::Nothing => false,
            Cut::Everything => true,
            Cut::Some => dice.roll(2) == 1,
        };
        let files = before.files.iter().map(|file| file.after_power_cut(&mut stays)).collect();
        let mut names = before.durable_names.clone();
        for change in &before.unsynced_names {
            if stays() {
                change.apply(&mut names);
            }
        }
        let durable_names = names.clone();
        let state = State { files, names, durable_names, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)), watcher: Arc::default() }
    }

    pub(super) fn names_now(&self) -> Vec<String> {
        self.state.lock().unwrap().names.keys().cloned().collect()
    }

    pub(super) fn len_of(&self, name: &str) -> usize {
        self.content(name, |content| content.now.len())
    }

    /// Changes the bytes of a file, as no program does.
    pub(super) fn damage(&self, name: &str, damage: impl FnOnce(&mut Vec<u8>)) {
        self.content(name, |content| {
            damage(&mut content.now);
            content.durable = content.now.clone();
        });
    }

    fn content<T>(&self, name: &str, work: impl FnOnce(&mut Content) -> T) -> T {
        let mut state = self.state.lock().unwrap();
        let file = state.names[name];
        work(&mut state.files[file])
    }

    fn change<T>(&self, work: impl FnOnce(&mut State) -> io::Result<T>) -> io::Result<T> {
        let done = {
            let mut state = self.state.lock().unwrap();
            state.steps += 1;
            work(&mut state)?
        };
        // Taken out meanwhile: the watcher may look at the disk.
        let watcher = self.watcher.lock().unwrap().take();
        if let Some(mut watcher) = watcher {
            watcher(self);
            self.watcher.lock().unwrap().get_or_insert(watcher);
        }
        Ok(done)
    }
}

impl Content {
    fn after_power_cut(&self, stays: &mut impl FnMut() -> bool) -> Self {
        let mut durable = self.durable.clone();
        for (offset, bytes) in &self.unsynced {
            let mut at = *offset;
            let end = offset + bytes.len();
            while at < end {
                // To the end of the sector that this byte is in.
                let until = ((at / SECTOR_BYTES + 1) * SECTOR_BYTES).min(end);
                if stays() {
                    durable.resize(durable.len().max(until), 0);
                    durable[at..until].copy_from_slice(&bytes[at - offset..until - offset]);
                }
                at = until;
            }
        }
        Self { now: durable.clone(), durable, unsynced: Vec::new() }
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, FileId>) {
        match self {
            Self::Name { name, file } => drop(names.insert(name.clone(), *file)),
            Self::Remove { name } => drop(names.remove(name)),
            Self::Rename { from, to, file } => {
                if names.get(from) == Some(file) {
                    names.remove(from);
                }
                names.insert(to.clone(), *file);
            }
        }
    }
}

impl State {
    fn change_names(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.unsynced_names.push(change);
    }

    fn find(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn check_disk(&self) -> io::Result<()> {
        match self.fails_at {
            Some(_) => Err(io::Error::other("the disk failed")),
            None => Ok(()),
        }
    }
}

impl Disk for MemoryDisk {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.change(|state| {
            state.files.push(Content::default());
            let file = state.files.len() - 1;
            state.change_names(Change::Name { name: name.to_owned(), file });
            Ok(file)
        })?;
        Ok(Box::new(MemoryFile { disk: self.clone(), file }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let file = self.state.lock().unwrap().find(name)?;
        Ok(Box::new(MemoryFile { disk: self.clone(), file }))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.state.lock().unwrap();
        Ok(state.files[state.find(name)?].now.clone())
    }

    fn names(&self) -> io::Result<Vec<String>> {
        Ok(self.names_now())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|state| {
            let file = state.find(from)?;
            let (from, to) = (from.to_owned(), to.to_owned());
            state.change_names(Change::Rename { from, to, file });
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|state| {
            state.find(name)?;
            state.change_names(Change::Remove { name: name.to_owned() });
            Ok(())
        })
    }

    fn sync_names(&self) -> io::Result<()> {
        self.change(|state| {
            state.check_disk()?;
            state.durable_names = state.names.clone();
            state.unsynced_names.clear();
            Ok(())
        })
    }
}

#[derive(Debug)]
struct MemoryFile {
    disk: MemoryDisk,
    file: FileId,
}

impl DiskFile for MemoryFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        self.disk.change(|state| {
            let content = &mut state.files[self.file];
            content.now.resize(content.now.len().max(end), 0);
            content.now[start..end].copy_from_slice(bytes);
            content.unsynced.push((start, bytes.to_vec()));
            Ok(())
        })
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.change(|state| {
            state.check_disk()?;
            let content = &mut state.files[self.file];
            content.durable = content.now.clone();
            content.unsynced.clear();
            Ok(())
        })
    }
}
