//! The power goes at every step of a random life, and the log that is found is the one that was
//! promised, or the one that was about to be.

use std::sync::mpsc::{Receiver, channel};

use super::faulty_disk::{Cut, Dice, MemoryDisk};
use super::*;

/// Steps of a life when nobody says how many: a few seconds of work. `NOVACRON_STEPS` says.
const STEPS: u64 = 500;
/// Lives, each with its own seed and disk: state does not pile up, and failures are short.
const STEPS_PER_LIFE: u64 = 50;

/// What must be found.
#[derive(Debug, Clone)]
struct Model(Loaded);

/// One thing that a driver does with its log.
#[derive(Debug, Clone)]
enum Step {
    Append {
        entries: Vec<Entry>,
        hard_state: Option<HardState>,
    },
    /// Two appends and a compaction, one sync.
    Gathered {
        first: Vec<Entry>,
        second: Vec<Entry>,
    },
    Save(StoredSnapshot),
    Compact {
        snapshot: StoredSnapshot,
        cut: LogIndex,
    },
    Install {
        snapshot: StoredSnapshot,
        hard_state: HardState,
    },
    Restart,
}

impl Model {
    fn last(&self) -> (u64, u64) {
        let snapshot = &self.0.snapshot.meta;
        let last = self.0.entries.last().map(|entry| (entry.index.0, entry.term.0));
        last.unwrap_or((snapshot.index.0, snapshot.term.0))
    }

    fn append(&mut self, entries: &[Entry]) {
        if let Some(first) = entries.first() {
            self.0.entries.retain(|entry| entry.index < first.index);
            self.0.entries.extend_from_slice(entries);
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Append { entries, hard_state } => {
                self.append(entries);
                self.0.hard_state = hard_state.unwrap_or(self.0.hard_state);
            }
            Step::Gathered { first, second } => {
                self.append(first);
                self.append(second);
            }
            Step::Save(_) | Step::Restart => {}
            Step::Compact { snapshot, .. } => {
                self.0.snapshot = snapshot.clone();
                self.0.entries.retain(|entry| entry.index > snapshot.meta.index);
            }
            Step::Install { snapshot, hard_state } => {
                self.0 = Loaded {
                    hard_state: *hard_state,
                    snapshot: snapshot.clone(),
                    entries: Vec::new(),
                };
            }
        }
        let base = self.0.snapshot.meta.index;
        self.0.hard_state.commit = self.0.hard_state.commit.max(base);
    }
}

fn run_of(dice: &mut Dice, from: u64, term: u64) -> Vec<Entry> {
    let lens = [0, 1, 100, 256, 480, 1_500, 5_000];
    let len = |dice: &mut Dice| lens[dice.roll(lens.len() as u64) as usize];
    (from..from + 1 + dice.roll(4)).map(|index| sized_entry(index, term, len(dice))).collect()
}

fn next_step(model: &Model, saved: &mut Option<StoredSnapshot>, dice: &mut Dice) -> Step {
    let (last, last_term) = model.last();
    let Loaded { hard_state, snapshot: newest, .. } = &model.0;
    let (commit, base) = (hard_state.commit.0, newest.meta.index.0);
    match dice.roll(20) {
        0..=8 => {
            let entries = run_of(dice, last + 1, hard_state.term.0);
            let commit = commit + dice.roll(entries.last().unwrap().index.0 - commit + 1);
            let commits = dice.roll(2) == 0;
            let next = HardState { commit: LogIndex(commit), ..*hard_state };
            Step::Append { entries, hard_state: commits.then_some(next) }
        }
        9..=11 => {
            // A leader of a later term replaces what was not committed.
            let term = hard_state.term.0 + 1;
            let from = commit + 1 + dice.roll(last - commit + 1);
            let entries = if dice.roll(3) == 0 { vec![] } else { run_of(dice, from, term) };
            let vote = (dice.roll(2) == 0).then_some(MemberId(dice.roll(3) + 1));
            let hard_state = HardState { term: Term(term), vote, commit: LogIndex(commit) };
            Step::Append { entries, hard_state: Some(hard_state) }
        }
        12..=13 => {
            let first = run_of(dice, last + 1, hard_state.term.0);
            let from = first.last().unwrap().index.0 + 1 - dice.roll(2);
            let second = run_of(dice, from, hard_state.term.0);
            Step::Gathered { first, second }
        }
        14..=15 if commit > base => {
            let index = base + 1 + dice.roll(commit - base);
            let term = model.0.entries.iter().find(|entry| entry.index.0 == index).unwrap().term.0;
            let made = snapshot(index, term, dice.roll(3_000) as usize);
            *saved = Some(made.clone());
            Step::Save(made)
        }
        16..=17 => match saved.take().filter(|saved| saved.meta.index.0 > base) {
            Some(saved) => {
                let cut = LogIndex(saved.meta.index.0.saturating_sub(dice.roll(3)));
                Step::Compact { snapshot: saved, cut }
            }
            None => restart(saved),
        },
        18 => {
            *saved = None;
            let term = last_term.max(hard_state.term.0);
            let made = snapshot(last + 1 + dice.roll(50), term, dice.roll(3_000) as usize);
            let hard_state = HardState { term: Term(term), commit: made.meta.index, ..*hard_state };
            Step::Install { snapshot: made, hard_state }
        }
        _ => restart(saved),
    }
}

/// A snapshot that was not counted in the life that made it never will be.
fn restart(saved: &mut Option<StoredSnapshot>) -> Step {
    *saved = None;
    Step::Restart
}

fn do_step(store: &mut SegmentStore, disk: &MemoryDisk, step: &Step) {
    match step {
        Step::Append { entries, hard_state } => {
            store.append(entries, *hard_state);
            store.sync().unwrap();
        }
        Step::Gathered { first, second } => {
            store.append(first, None);
            store.append(second, None);
            store.sync().unwrap();
        }
        Step::Save(snapshot) => store.snapshots().save(snapshot).unwrap(),
        Step::Compact { snapshot, cut } => {
            store.compact(&snapshot.meta, *cut);
            store.sync().unwrap();
        }
        Step::Install { snapshot, hard_state } => {
            store.install_snapshot(snapshot, *hard_state).unwrap();
        }
        Step::Restart => {
            *store = small_log(Arc::new(disk.clone()));
            store.load().unwrap();
        }
    }
}

/// Images of the disk, taken at every change of a step.
fn images_of(disk: &MemoryDisk, seed: u64) -> Receiver<MemoryDisk> {
    let (image_tx, images) = channel();
    let mut dice = Dice::new(seed);
    disk.watch(move |disk| {
        for cut in [Cut::Nothing, Cut::Everything, Cut::Some, Cut::Some] {
            let _ = image_tx.send(disk.after_power_cut(cut, &mut dice));
        }
    });
    images
}

/// What the log on this image holds, and whether it can be written and read on.
fn recover(image: &MemoryDisk) -> Result<Loaded, StoreError> {
    let mut store = small_log(Arc::new(image.clone()));
    let loaded = store.load()?;
    let last = Model(loaded.clone()).last().0;
    let next = sized_entry(last + 1, loaded.hard_state.term.0.max(1), 700);
    let term = loaded.hard_state.term.max(Term(1));
    store.append(std::slice::from_ref(&next), Some(HardState { term, ..loaded.hard_state }));
    store.sync()?;
    let again = small_log(Arc::new(image.clone())).load()?;
    assert_eq!(again.entries.last(), Some(&next), "what is written after a power cut is kept");
    assert_eq!(again.entries.len(), loaded.entries.len() + 1);
    Ok(loaded)
}

/// Every image of a step is the log before it or after it; one step may be several writes, each of
/// which adds to what is there.
fn check(image: &MemoryDisk, before: &Model, after: &Model, step: &Step) -> Result<(), String> {
    let found = recover(image).map_err(|error| format!("not recovered: {error}"))?;
    if found == before.0 || found == after.0 {
        return Ok(());
    }
    let kept = found.entries.iter().zip(&after.0.entries).all(|(found, after)| found == after);
    let promised = before.0.entries.iter().filter(|entry| after.0.entries.contains(entry)).count();
    let is_between = matches!(step, Step::Append { .. } | Step::Gathered { .. })
        && kept
        && found.entries.len() >= promised.min(after.0.entries.len())
        && found.snapshot == before.0.snapshot
        && found.hard_state.commit <= after.0.hard_state.commit;
    // Gathered appends cut off what the first of them wrote: the log between them is one of a prefix.
    let gathered = match step {
        Step::Gathered { first, .. } => {
            let mut between = before.clone();
            between.append(first);
            found.entries.iter().zip(&between.0.entries).all(|(found, own)| found == own)
                && found.entries.len() >= before.0.entries.len()
        }
        _ => false,
    };
    if is_between || gathered {
        return Ok(());
    }
    let [before, after] = [&before.0, &after.0].map(outline);
    Err(format!("found  {}\nbefore {before}\nafter  {after}", outline(&found)))
}

/// A log in a line.
fn outline(loaded: &Loaded) -> String {
    let Loaded { hard_state, snapshot, entries } = loaded;
    let (base, bytes) = (snapshot.meta.index, snapshot.state.len());
    let of = |entry: &Entry| format!("{}@{}:{}", entry.index, entry.term, entry.data.len());
    let entries: Vec<String> = entries.iter().map(of).collect();
    format!("{hard_state:?} snapshot {base} ({bytes} bytes) {}", entries.join(" "))
}

fn live(seed: u64, steps: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let disk = MemoryDisk::default();
    let mut store = begin_small(Arc::new(disk.clone()));
    let mut model = Model(Loaded::default());
    let start = HardState { term: Term(1), ..HardState::default() };
    store.append(&[], Some(start));
    store.sync().unwrap();
    model.0.hard_state = start;
    let mut saved = None;
    let mut checked = 0;
    for number in 0..steps {
        let step = next_step(&model, &mut saved, &mut dice);
        let mut after = model.clone();
        after.take(&step);
        let images = images_of(&disk, seed ^ (number << 32));
        do_step(&mut store, &disk, &step);
        disk.unwatch();
        for image in images.try_iter() {
            checked += 1;
            if let Err(why) = check(&image, &model, &after, &step) {
                panic!("seed {seed}, step {number}:\n{why}");
            }
        }
        model = after;
        let mut dice = Dice::new(seed ^ number);
        let settled = disk.after_power_cut(Cut::Nothing, &mut dice);
        let found = recover(&settled).unwrap();
        let (found, promised) = (outline(&found), outline(&model.0));
        assert_eq!(found, promised, "seed {seed}, step {number}");
    }
    checked
}

#[test]
fn every_power_cut_leaves_the_log_that_was_promised() {
    let number = |name, default| {
        std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
    };
    let (steps, first_seed): (u64, u64) =
        (number("NOVACRON_STEPS", STEPS), number("NOVACRON_SEED", 1));
    let mut images = 0;
    for life in 0..steps.div_ceil(STEPS_PER_LIFE) {
        images += live(first_seed + life, STEPS_PER_LIFE);
    }
    println!("{steps} steps, {images} images, seeds from {first_seed}");
    assert!(images > steps, "a step changes the disk");
}
