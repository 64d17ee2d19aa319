//! The panic hook, installed on request: it reports panics that no span records, such as those of a spawned task.

use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::sync::{Arc, Mutex, Once, PoisonError, Weak};
use std::time::SystemTime;

use throughline_core::{ErrorInfo, TraceContext, panic_begins, panic_place, panics_are_recorded_here};

/// A panic that no span records.
#[derive(Clone)]
pub(crate) struct Unrecorded {
    pub(crate) at: SystemTime,
    pub(crate) error: ErrorInfo,
    pub(crate) context: Option<TraceContext>,
    pub(crate) thread: Option<String>,
}

/// Who is told of such panics.
pub(crate) trait Reporter: Send + Sync {
    /// Notes the panic and leaves all else to another thread: it is called where a second panic ends the process.
    fn report_unrecorded(self: Arc<Self>, panic: Unrecorded);
}

thread_local! {
    /// Whether this thread makes or sends reports: its panics are not reported by itself.
    static REPORTS: Cell<bool> = const { Cell::new(false) };
}

/// Where panics are reported.
static REPORTERS: Mutex<Vec<Weak<dyn Reporter>>> = Mutex::new(Vec::new());

pub(crate) fn this_thread_reports() {
    let _ = REPORTS.try_with(|reports| reports.set(true));
}

/// Has panics reported to this one too, by a hook in front of the one that there is.
pub(crate) fn install(reporter: Weak<dyn Reporter>) {
    static INSTALLED: Once = Once::new();
    // No hook can be set then.
    if std::thread::panicking() {
        return;
    }
    {
        let mut reporters = REPORTERS.lock().unwrap_or_else(PoisonError::into_inner);
        reporters.retain(|reporter| reporter.strong_count() > 0);
        reporters.push(reporter);
    }
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            report(panic);
            before(panic);
        }));
    });
}

/// Hands the panic over to the thread that reports. A panic in here would end the process, so that nothing is done but to
/// note what is known: no text is redacted, no lock is waited for that other code holds, no user's code runs.
fn report(panic: &PanicHookInfo<'_>) {
    panic_begins();
    let reports = REPORTS.try_with(Cell::get).unwrap_or(true);
    if reports || panics_are_recorded_here() {
        return;
    }
    let reporters: Vec<Arc<dyn Reporter>> = {
        let reporters = REPORTERS.lock().unwrap_or_else(PoisonError::into_inner);
        reporters.iter().filter_map(Weak::upgrade).collect()
    };
    if reporters.is_empty() {
        return;
    }
    let mut error = ErrorInfo::of_panic(panic.payload());
    if let Some(location) = panic.location() {
        error = error.at_place(&panic_place(location));
    }
    let unrecorded = Unrecorded {
        at: SystemTime::now(),
        error,
        context: TraceContext::current().filter(TraceContext::is_recorded),
        thread: std::thread::current().name().map(str::to_owned),
    };
    for reporter in reporters {
        reporter.report_unrecorded(unrecorded.clone());
    }
}
