//! Whatever is not as it was written is refused by name, and never served.

use super::faulty_disk::{Cut, Dice, MemoryDisk};
use super::*;

/// A log of several segments with a snapshot and a torn write at its end.
fn lived_in() -> (MemoryDisk, Loaded) {
    let disk = MemoryDisk::default();
    let mut store = begin_small(Arc::new(disk.clone()));
    for index in 1..=30 {
        store.append(&[sized_entry(index, 1, 700)], Some(hard(1, index - 1)));
        store.sync().unwrap();
    }
    let made = snapshot(12, 1, 900);
    store.snapshots().save(&made).unwrap();
    store.compact(&made.meta, LogIndex(12));
    store.append(&[entry(30, 2)], Some(hard(2, 29)));
    store.sync().unwrap();
    store.append(&[entry(31, 2)], Some(hard(2, 30)));
    store.sync().unwrap();
    let loaded = small_log(Arc::new(disk.clone())).load().unwrap();
    assert_eq!(loaded.entries.len(), 19);
    (disk, loaded)
}

fn copy_of(disk: &MemoryDisk) -> MemoryDisk {
    disk.after_power_cut(Cut::Everything, &mut Dice::new(1))
}

fn load(disk: &MemoryDisk) -> Result<Loaded, StoreError> {
    small_log(Arc::new(disk.clone())).load()
}

fn segments(disk: &MemoryDisk) -> Vec<String> {
    disk.names_now().into_iter().filter(|name| name.ends_with(".segment")).collect()
}

#[test]
fn a_flipped_bit_anywhere_is_refused_with_the_file_that_it_is_in() {
    let (disk, _) = lived_in();
    let mut dice = Dice::new(7);
    let is_live = |name: &String| !name.starts_with("spare") && !name.ends_with(".new");
    let names: Vec<String> = disk.names_now().into_iter().filter(is_live).collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in &names {
        let len = disk.len_of(name) as u64;
        for _ in 0..400 {
            let bit = dice.roll(len * 8);
            let damaged = copy_of(&disk);
            damaged.damage(name, |bytes| bytes[bit as usize / 8] ^= 1 << (bit % 8));
            match load(&damaged) {
                Err(StoreError::Corrupt { what, .. }) => {
                    assert!(what.contains(name.as_str()), "{what} for {name}, bit {bit}");
                }
                Err(StoreError::TooNew { .. }) if !name.ends_with(".segment") => {}
                other => panic!("{name}, bit {bit}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_damaged_sector_in_the_last_write_is_not_taken_for_a_torn_one() {
    let (disk, loaded) = lived_in();
    let last = segments(&disk).pop().unwrap();
    let bytes = disk.read(&last).unwrap();
    let written = |sector: &[u8]| sector.iter().any(|byte| *byte != 0);
    let end = bytes.chunks(SECTOR_BYTES).rposition(written).unwrap();
    let damaged = copy_of(&disk);
    damaged.damage(&last, |bytes| bytes[end * SECTOR_BYTES + 100] ^= 4);
    let error = load(&damaged).unwrap_err().to_string();
    let named = format!("{last} at byte {}: a sector is damaged", end * SECTOR_BYTES);
    assert!(error.contains(&named), "{error}");
    assert!(error.contains("join again") && error.contains("from a backup"), "{error}");
    let torn = copy_of(&disk);
    torn.damage(&last, |bytes| bytes[end * SECTOR_BYTES..(end + 1) * SECTOR_BYTES].fill(0));
    assert_eq!(
        load(&torn).unwrap().entries.len(),
        loaded.entries.len() - 1,
        "a write that is torn"
    );
}

type Damage = fn(&MemoryDisk, &[String]);

#[test]
fn what_is_missing_is_refused_by_name() {
    let damages: [(&str, Damage); 7] = [
        ("is missing", |disk, segments| disk.remove(&segments[1]).unwrap()),
        ("lost its end", |disk, segments| {
            disk.damage(&segments[0], |bytes| {
                let end = bytes.chunks(SECTOR_BYTES).rposition(|s| s[8] != 0 || s[4] != 0).unwrap();
                let number = bytes[end * SECTOR_BYTES + 8];
                for sector in bytes.chunks_mut(SECTOR_BYTES).skip(1) {
                    if sector[8] == number {
                        sector.fill(0);
                    }
                }
            });
        }),
        ("beginning is missing", |disk, segments| {
            disk.damage(&segments[1], |bytes| bytes[..SECTOR_BYTES].fill(0));
        }),
        ("is not whole", |disk, segments| {
            disk.damage(&segments[1], |bytes| bytes[SECTOR_BYTES..2 * SECTOR_BYTES].fill(0));
        }),
        ("not as long", |disk, segments| {
            disk.damage(&segments[0], |bytes| bytes.truncate(bytes.len() - SECTOR_BYTES));
        }),
        ("12-1.snapshot", |disk, _| {
            let names = disk.names_now();
            disk.remove(names.iter().find(|name| name.ends_with("snapshot")).unwrap()).unwrap();
        }),
        ("the mark beside it", |disk, _| disk.remove("mark").unwrap()),
    ];
    for (named, damage) in damages {
        let (disk, _) = lived_in();
        damage(&disk, &segments(&disk));
        let error = load(&disk).unwrap_err().to_string();
        assert!(error.contains(named), "{error} instead of {named}");
    }
}

#[test]
fn a_log_without_its_newest_segments_is_refused() {
    let (disk, _) = lived_in();
    let all = segments(&disk);
    for name in &all[1..] {
        disk.remove(name).unwrap();
    }
    let error = load(&disk).unwrap_err().to_string();
    assert!(error.contains("missing"), "{error}");
    let (disk, _) = lived_in();
    for name in segments(&disk) {
        disk.remove(&name).unwrap();
    }
    assert!(load(&disk).unwrap_err().to_string().contains("it is gone"));
}

#[test]
fn a_sync_that_failed_is_never_tried_again() {
    let disk = MemoryDisk::default();
    let mut store = begin_small(Arc::new(disk.clone()));
    store.append(&[entry(1, 1)], Some(hard(1, 0)));
    disk.fail();
    assert!(matches!(store.sync(), Err(StoreError::Failed(_))));
    disk.heal();
    assert!(matches!(store.sync(), Err(StoreError::Failed(_))), "the page may be clean, and lost");
    store.append(&[entry(2, 1)], None);
    assert!(matches!(store.sync(), Err(StoreError::Failed(_))));
    let found = load(&disk.after_power_cut(Cut::Nothing, &mut Dice::new(1))).unwrap();
    assert_eq!(found, Loaded::default());
}
