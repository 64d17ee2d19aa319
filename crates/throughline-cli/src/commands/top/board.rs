//! [`Board`]: what the screen shows, as it was read at one moment.

use std::time::Duration;

use throughline_core::{
    Filter, OpenRun, Page, Rate, ReadError, Readers, RunState, RunSummary, Scope, Status, Timestamp,
};

/// How many open runs, and how many that failed, are read: more than a screen has lines.
const OPEN: usize = 100;
const FAILED: usize = 100;
/// Of how long the rates are.
const HOUR: Duration = Duration::from_secs(3_600);
const MINUTE: Duration = Duration::from_secs(60);

/// What the screen shows.
#[derive(Debug)]
pub(super) struct Board {
    pub(super) now: Timestamp,
    pub(super) running: usize,
    pub(super) interrupted: usize,
    /// The oldest first.
    pub(super) open: Vec<OpenRun>,
    /// Those that started within the hour, the last first.
    pub(super) failed: Vec<RunSummary>,
    /// Of the runs that started within the hour; `None` where the store does not count.
    pub(super) failures: Option<Rate>,
    /// Minute by minute, how many ended runs had started in it, and how many of these failed; the last is now.
    pub(super) minutes: Option<Vec<Rate>>,
    /// Why the store could not be read the last time.
    pub(super) trouble: Option<String>,
}

impl Board {
    pub(super) async fn read(readers: &Readers, now: Timestamp) -> Result<Self, ReadError> {
        let reader = &*readers.reader;
        let (mut running, mut interrupted) = (0, 0);
        let mut page = Page::first(1_000);
        loop {
            let found = reader.open_summaries(&page).await?;
            let is_last = !page.turn(&found)?;
            for run in found.items {
                match run.summary.state {
                    RunState::Running => running += 1,
                    RunState::Interrupted => interrupted += 1,
                    _ => {}
                }
            }
            if is_last {
                break;
            }
        }
        let open = reader.open_runs(&Page::first(OPEN)).await?.items;
        // A clock that is ahead of this one would stretch the chart.
        let scope = Scope::all().since(now.minus(HOUR)).until(now.plus(MINUTE));
        // Where little fails, a store would look through all that it has for what failed.
        let filter = Filter::new().status(Status::Failed).scope(scope.clone());
        let mut failed = reader.runs(&filter, &Page::first(FAILED)).await?.items;
        failed.retain(|run| run.state == RunState::Failed);
        let failures = supported(readers.analytics.failure_rate(&scope).await)?;
        let buckets = supported(readers.analytics.over_time(&scope, MINUTE).await)?;
        let minutes = buckets.map(|buckets| {
            let mut minutes = vec![Rate::default(); 60];
            for bucket in buckets {
                let ago = usize::try_from(now.since(bucket.start).as_secs() / 60).unwrap_or(usize::MAX);
                if let Some(minute) = 59_usize.checked_sub(ago).and_then(|at| minutes.get_mut(at)) {
                    minute.hits += bucket.failed.hits;
                    minute.total += bucket.failed.total;
                }
            }
            minutes
        });
        Ok(Self { now, running, interrupted, open, failed, failures, minutes, trouble: None })
    }
}

fn supported<T>(answer: Result<T, ReadError>) -> Result<Option<T>, ReadError> {
    match answer {
        Ok(answer) => Ok(Some(answer)),
        Err(ReadError::Unsupported { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}
