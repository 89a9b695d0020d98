//! Waiting for a state instead of for time to pass.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Between two looks at a state: short beside what is waited for, long beside one look.
const PAUSE: Duration = Duration::from_millis(50);

/// Looks until `look` gives a value, and fails with what was waited for when `limit` has passed.
///
/// An error of `look` counts as "not yet" and is named if the limit passes: what is asked may be
/// restarting.
pub fn until<T>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    loop {
        let seen = look();
        if let Ok(Some(value)) = seen {
            return Ok(value);
        }
        if start.elapsed() >= limit {
            match seen {
                Err(error) => bail!("waited {limit:?} for {what}; at last: {error:#}"),
                Ok(_) => bail!("waited {limit:?} for {what}"),
            }
        }
        thread::sleep(PAUSE);
    }
}

/// [`until`] for a plain yes or no.
pub fn for_true(what: &str, limit: Duration, mut look: impl FnMut() -> Result<bool>) -> Result<()> {
    until(what, limit, || Ok(look()?.then_some(())))
}
