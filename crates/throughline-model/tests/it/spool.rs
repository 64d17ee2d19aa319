//! The spool within the process keeps every promise of a spool, and the suite finds each spool that breaks one.

use std::sync::{Arc, Mutex};

use throughline_model::testing::conformance::{SpoolFixture, rules};
use throughline_model::testing::{FaultySpool, MemorySpool};
use throughline_model::{
    AppendError, BoxFuture, Instance, OpenError, Spool, SpoolConfig, SpoolReader, SpoolUsage, Spooled,
    TraceEvent,
};

use crate::broken_store::assert_broken;

mod sound {
    use super::*;

    struct Fixture(MemorySpool);

    impl SpoolFixture for Fixture {
        fn fresh() -> Self {
            Self(MemorySpool::new())
        }
        fn config(&self) -> Box<dyn SpoolConfig> {
            Box::new(FaultySpool::around(self.0.clone()))
        }
    }

    throughline_model::spool_conformance!(Fixture);
}

/// What is different from a sound spool.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    LastInFirstOut,
    PeekRemoves,
    KeepsTheLastOfARemoval,
    RemovesOneAtLeast,
    PositionsBeginAgain,
    KeepsPartOfAGroup,
    DropsTheOldest,
    OpensToSeveral,
    ClosesForOthers,
    ForgetsOnClose,
    DropsWhatIsSetAside,
    KeepsWhatIsSetAside,
}

#[derive(Clone)]
struct Altered {
    inner: MemorySpool,
    change: Change,
    /// What was opened last.
    open: Arc<Mutex<Option<Arc<dyn Spool>>>>,
}

impl Altered {
    fn new(change: Change) -> Self {
        Self { inner: MemorySpool::new(), change, open: Arc::default() }
    }
}

impl SpoolConfig for Altered {
    fn open(&self, instance: Instance) -> BoxFuture<'static, Result<Arc<dyn Spool>, OpenError>> {
        let store = self.clone();
        Box::pin(async move {
            let open = store.open.lock().unwrap().clone();
            let inner = match (store.inner.open(instance).await, open) {
                (Err(_), Some(open)) if store.change == Change::OpensToSeveral => open,
                (opened, _) => opened?,
            };
            *store.open.lock().unwrap() = Some(Arc::clone(&inner));
            Ok(Arc::new(OpenAltered { inner, spool: store }) as Arc<dyn Spool>)
        })
    }
}

struct OpenAltered {
    inner: Arc<dyn Spool>,
    spool: Altered,
}

impl Spool for OpenAltered {
    fn name(&self) -> &str {
        "altered"
    }

    fn push<'a>(&'a self, events: &'a [Arc<TraceEvent>]) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            let Err(error) = self.inner.push(events).await else { return Ok(()) };
            match self.spool.change {
                Change::KeepsPartOfAGroup => {
                    for event in events {
                        self.inner.push(std::slice::from_ref(event)).await?;
                    }
                    Err(error)
                }
                Change::DropsTheOldest => {
                    let oldest = self.inner.peek(events.len()).await?;
                    self.inner.remove_through(oldest[oldest.len() - 1].position).await?;
                    self.inner.push(events).await
                }
                _ => Err(error),
            }
        })
    }

    fn peek(&self, limit: usize) -> BoxFuture<'_, Result<Vec<Spooled>, AppendError>> {
        Box::pin(async move {
            let mut all = self.inner.peek(usize::MAX).await?;
            match self.spool.change {
                Change::LastInFirstOut => all.reverse(),
                Change::PositionsBeginAgain => {
                    all.iter_mut().zip(1..).for_each(|(spooled, position)| spooled.position = position);
                }
                _ => {}
            }
            all.truncate(limit);
            if let (Change::PeekRemoves, Some(last)) = (self.spool.change, all.last()) {
                self.inner.remove_through(last.position).await?;
            }
            Ok(all)
        })
    }

    fn remove_through(&self, position: u64) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            let all = self.inner.peek(usize::MAX).await?;
            let first = all.first().map_or(0, |spooled| spooled.position);
            let through = match self.spool.change {
                Change::KeepsTheLastOfARemoval => position - 1,
                Change::RemovesOneAtLeast => position.max(first),
                Change::PositionsBeginAgain => first + position - 1,
                _ => position,
            };
            self.inner.remove_through(through).await
        })
    }

    fn set_aside<'a>(&'a self, position: u64, reason: &'a str) -> BoxFuture<'a, Result<(), AppendError>> {
        Box::pin(async move {
            match self.spool.change {
                Change::DropsWhatIsSetAside => self.inner.remove_through(position).await,
                Change::KeepsWhatIsSetAside => Ok(()),
                _ => self.inner.set_aside(position, reason).await,
            }
        })
    }

    fn usage(&self) -> BoxFuture<'_, Result<SpoolUsage, AppendError>> {
        self.inner.usage()
    }

    fn reader(&self) -> Arc<dyn SpoolReader> {
        self.inner.reader()
    }

    fn close(&self) -> BoxFuture<'_, Result<(), AppendError>> {
        Box::pin(async move {
            if self.spool.change == Change::ForgetsOnClose {
                self.inner.remove_through(u64::MAX).await?;
            }
            let latest = self.spool.open.lock().unwrap().clone();
            match latest.filter(|_| self.spool.change == Change::ClosesForOthers) {
                Some(latest) => latest.close().await,
                None => self.inner.close().await,
            }
        })
    }
}

macro_rules! broken_spools {
    ($($test:ident: $change:ident breaks $($rule:ident),+;)*) => {
        $(
            #[test]
            fn $test() {
                struct Broken(Altered);

                impl SpoolFixture for Broken {
                    fn fresh() -> Self {
                        Self(Altered::new(Change::$change))
                    }
                    fn config(&self) -> Box<dyn SpoolConfig> {
                        Box::new(self.0.clone())
                    }
                }

                assert_broken(&[$((stringify!($rule), rules::$rule::<Broken>)),+]);
            }
        )*
    };
}

broken_spools! {
    a_stack_is_found: LastInFirstOut breaks
        events_come_out_in_the_order_they_went_in;
    a_look_that_removes_is_found: PeekRemoves breaks
        looking_removes_nothing;
    a_removal_that_keeps_its_last_is_found: KeepsTheLastOfARemoval breaks
        what_is_removed_is_gone_and_the_rest_stays;
    a_removal_that_counts_twice_is_found: RemovesOneAtLeast breaks
        removing_again_changes_nothing;
    positions_that_begin_again_are_found: PositionsBeginAgain breaks
        positions_grow_and_are_never_used_again;
    a_part_of_a_group_in_a_full_spool_is_found: KeepsPartOfAGroup breaks
        a_full_spool_keeps_what_it_has_and_takes_more_once_there_is_room;
    a_spool_that_drops_the_oldest_is_found: DropsTheOldest breaks
        a_full_spool_keeps_what_it_has_and_takes_more_once_there_is_room;
    a_spool_that_opens_to_several_is_found: OpensToSeveral breaks
        a_spool_is_open_to_one_at_a_time;
    a_spool_that_closes_for_others_is_found: ClosesForOthers breaks
        a_spool_is_open_to_one_at_a_time;
    a_spool_that_drops_what_is_set_aside_is_found: DropsWhatIsSetAside breaks
        what_is_set_aside_no_longer_waits_and_is_kept_with_its_reason;
    a_spool_that_keeps_what_is_set_aside_is_found: KeepsWhatIsSetAside breaks
        what_is_set_aside_no_longer_waits_and_is_kept_with_its_reason;
    a_spool_that_forgets_is_found: ForgetsOnClose breaks
        what_waits_is_there_after_reopening,
        every_field_of_an_event_survives_the_spool;
}
