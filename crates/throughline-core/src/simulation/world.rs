//! The world that a sequence is played in, and what must be true in it after each operation.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use proptest::prop_assert;
use proptest::test_runner::TestCaseError;
use throughline_model::testing::MemorySpool;
use throughline_model::{EventId, TraceEvent, names};
use tokio::time::{Instant, sleep};

use super::client::{self, Told, Work};
use super::operation::{Fault, Operation, Setting};
use super::process::{Process, plan};
use super::recorded::{LEASE_INTERVAL, Recorded, STORE};
use crate::Durability;

type Checked = Result<(), TestCaseError>;

pub(super) struct World {
    setting: Setting,
    store: Recorded,
    spool: MemorySpool,
    told: Told,
    process: Process,
    /// Events that the store refused for good in earlier processes.
    refused: u64,
    /// Whether a store or a spool refused anything for good.
    refuses: bool,
}

impl World {
    pub(super) fn new(setting: Setting) -> Self {
        let (store, spool) = (Recorded::new(setting.by_trace), MemorySpool::new());
        let process = Process::start(setting, &store, &spool);
        Self { setting, store, spool, told: Told::default(), process, refused: 0, refuses: false }
    }

    /// Calls of the store so far.
    pub(super) fn appends(&self) -> u64 {
        self.process.faults.append().attempts()
    }

    pub(super) async fn apply(&mut self, operation: Operation) -> Checked {
        let millis = |millis: u16| Duration::from_millis(millis.into());
        let process = &mut self.process;
        match operation {
            Operation::Run { runs, is_request, steps, millis: time, panics } => {
                let durability = self.setting.durability;
                for _ in 0..runs {
                    let work = Work { steps, time: millis(time), panics, is_request, durability };
                    process.runs.push(client::start(&process.throughline, work, self.told.clone()));
                }
                tokio::task::yield_now().await;
            }
            Operation::Cancel(which) => {
                if let Some(which) = usize::from(which).checked_rem(process.runs.len()) {
                    let run = process.runs.swap_remove(which);
                    run.abort();
                    // It ends by being aborted, if it has not ended before.
                    let _ = run.await;
                }
            }
            Operation::Appends(fault, calls) => {
                self.refuses |= matches!(fault, Fault::Refused);
                plan(process.faults.append(), fault, calls.into());
            }
            Operation::Outage(fault) => {
                self.refuses |= matches!(fault, Fault::Refused);
                plan(process.faults.append(), fault, u64::MAX);
            }
            Operation::Heal => process.heal(),
            Operation::Slow(latency) => self.store.state().latency = millis(latency),
            Operation::Heartbeats(fault, calls) => {
                process.heartbeats_are_faulty = true;
                plan(process.faults.heartbeat(), fault, calls.into());
            }
            Operation::Closes(fault) => plan(process.faults.close(), fault, 1),
            Operation::Pushes(fault, calls) => {
                self.refuses |= matches!(fault, Fault::Refused);
                process.spool.iter().for_each(|spool| plan(spool.push(), fault, calls.into()));
            }
            Operation::Peeks(fault, calls) => {
                process.spool.iter().for_each(|spool| plan(spool.peek(), fault, calls.into()));
            }
            Operation::Removals(fault, calls) => {
                process.spool.iter().for_each(|spool| plan(spool.remove_through(), fault, calls.into()));
            }
            Operation::Publishes(fault, calls) => plan(process.feed.publish(), fault, calls.into()),
            Operation::Wait(time) => sleep(millis(time)).await,
            Operation::Die => {
                self.check()?;
                self.process.die().await;
                self.start_another();
            }
            Operation::Restart { millis: time } => {
                self.shut_down(millis(time)).await?;
                self.start_another();
            }
        }
        self.check()
    }

    fn start_another(&mut self) {
        self.refused += self.process.refused();
        self.process = Process::start(self.setting, &self.store, &self.spool);
    }

    /// What is true at any moment.
    fn check(&self) -> Checked {
        let reports = self.process.reports();
        // What is pending is worked out of what was accepted: it must be what there is.
        for (report, waiting) in reports.iter().zip(self.process.waiting()) {
            let balances = report.balances() && report.pending == waiting;
            prop_assert!(balances, "the ledger does not balance: {report:?}, and {waiting} events wait");
        }
        let store = self.store.state();
        prop_assert!(store.violations.is_empty(), "{:?}", store.violations);
        if !self.process.heartbeats_are_faulty {
            let longest =
                store.longest_without_renewal.max(store.renewed.map_or(Duration::ZERO, |at| at.elapsed()));
            prop_assert!(longest <= LEASE_INTERVAL * 5 / 4, "the lease was not renewed for {longest:?}");
        }
        let spooled: HashSet<_> = self.spool.events().iter().map(|event| event.id()).collect();
        let told = self.told.state();
        let is_gone = |id: &&EventId| !store.ids.contains(id) && !spooled.contains(id);
        let gone: Vec<_> = told.acknowledged.iter().filter(is_gone).collect();
        // What the store refuses for good although the spool took it is counted, if not at this moment.
        prop_assert!(gone.is_empty() || self.refuses, "acknowledged, and gone: {gone:?}");
        prop_assert!(told.impatient.is_empty(), "somebody waited too long: {:?}", told.impatient);
        let (delivered, stored) = (reports[0].delivered, store.of_instance(self.process.instance()));
        let most = stored + self.process.inherited;
        prop_assert!(delivered <= most, "{delivered} delivered, of which at most {most} are stored");
        let mut last = HashMap::new();
        // The root of a request that was refused with its first step is written by the next one.
        let is_late = |event: &TraceEvent| event.seq == 0 && event.event_type == names::HTTP_REQUEST;
        for event in store.events.iter().filter(|event| !is_late(event)) {
            let before = last.insert((event.trace_id, event.instance), event.n);
            prop_assert!(before < Some(event.n), "event {} of a trace came after {before:?}", event.n);
        }
        Ok(())
    }

    async fn shut_down(&mut self, timeout: Duration) -> Checked {
        // While the store is closed the lease is not renewed any more.
        self.process.heartbeats_are_faulty = true;
        self.told.state().shutdown = timeout;
        let was_in_time = self.process.shut_down(timeout).await;
        prop_assert!(was_in_time, "the shutdown took more than {timeout:?}");
        let spooled = self.spool.events().len() as u64;
        for report in self.process.reports() {
            let left = if report.name == STORE { spooled } else { 0 };
            prop_assert!(
                report.pending <= left,
                "pending after the shutdown: {report:?}, {spooled} in the spool"
            );
        }
        self.let_runs_end().await?;
        self.told.state().shutdown = Duration::ZERO;
        self.check()
    }

    async fn let_runs_end(&mut self) -> Checked {
        let begun = Instant::now();
        let runs = &mut self.process.runs;
        while !runs.iter().all(tokio::task::JoinHandle::is_finished) {
            prop_assert!(begun.elapsed() < Duration::from_secs(30), "a run does not end");
            sleep(Duration::from_millis(5)).await;
        }
        runs.clear();
        Ok(())
    }

    /// Once everything works again, so does recording, and what was put off is made up for.
    pub(super) async fn end(mut self) -> Checked {
        self.process.heal();
        self.store.state().latency = Duration::ZERO;
        self.let_runs_end().await?;
        self.let_pending_go().await?;
        let durability = self.setting.durability;
        let work = Work { steps: 1, time: Duration::ZERO, panics: false, is_request: false, durability };
        let acknowledged = self.told.state().acknowledged.len();
        self.process.runs.push(client::start(&self.process.throughline, work, self.told.clone()));
        self.let_runs_end().await?;
        let more = self.told.state().acknowledged.len() - acknowledged;
        prop_assert!(more >= 2, "a step of which all is well is not recorded");
        self.shut_down(Duration::from_secs(1)).await?;
        let spooled = self.spool.events().len();
        prop_assert!(spooled == 0, "{spooled} events are left in the spool");
        let acknowledged = self.told.state().acknowledged.len();
        let gone = acknowledged - self.stored_of_acknowledged();
        let refused = self.refused + self.process.refused();
        prop_assert!(gone as u64 <= refused, "{gone} acknowledged and gone, {refused} refused");
        self.ends_are_there()
    }

    fn stored_of_acknowledged(&self) -> usize {
        let store = self.store.state();
        self.told.state().acknowledged.iter().filter(|id| store.ids.contains(id)).count()
    }

    async fn let_pending_go(&self) -> Checked {
        let begun = Instant::now();
        loop {
            let reports = self.process.reports();
            let pending = |name: &str| reports.iter().any(|report| report.name == name && report.pending > 0);
            // A feed that hangs is given longer than a store.
            let longest = if pending(STORE) { Duration::from_secs(2) } else { Duration::from_secs(10) };
            prop_assert!(begun.elapsed() < longest, "still pending: {reports:?}");
            if reports.iter().all(|report| report.pending == 0) {
                return Ok(());
            }
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// Of the steps that began, in the last process, the ends are there as well.
    fn ends_are_there(&self) -> Checked {
        if self.refuses {
            return Ok(());
        }
        let store = self.store.state();
        let own = |event: &&std::sync::Arc<TraceEvent>| event.instance == self.process.instance();
        let began: HashSet<_> = store.events.iter().filter(own).map(|event| event.span_id).collect();
        let ended: HashSet<_> =
            store.events.iter().filter(|event| event.seq > 0).map(|event| event.span_id).collect();
        // A pipelined step may have begun although its start is refused later.
        let starts_are_awaited = self.setting.durability != Durability::Pipelined;
        let started: HashSet<_> =
            store.events.iter().filter(|event| event.seq == 0).map(|event| event.span_id).collect();
        for event in store.events.iter().filter(|event| event.seq > 0 && starts_are_awaited) {
            prop_assert!(started.contains(&event.span_id), "an end without a start: {event:?}");
        }
        let roots: HashSet<_> =
            store.events.iter().filter(|event| event.is_root()).map(|event| event.trace_id).collect();
        for event in store.events.iter().filter(|_| starts_are_awaited) {
            prop_assert!(roots.contains(&event.trace_id), "a trace without a root: {event:?}");
        }
        for (trace, span) in self.told.state().began.iter().filter(|(_, span)| began.contains(span)) {
            prop_assert!(ended.contains(span), "the end of {trace}:{span} is gone");
        }
        Ok(())
    }
}
