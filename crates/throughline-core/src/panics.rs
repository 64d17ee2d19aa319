//! Where code panics: known to a panic hook alone, and that is the host's to install. And which panics are recorded.

use std::any::{Any, TypeId};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::panic::{self, AssertUnwindSafe, Location, catch_unwind};
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::time::Instant;

use throughline_model::{ErrorInfo, SpanId, TraceId};

/// How many panics are known that a span has recorded and that may still be on their way.
const RECORDED_PANICS: usize = 256;

thread_local! {
    /// The message and the place of the last panic of this thread.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    /// How much of the code that this thread is in has its panics recorded.
    static RECORDED: Cell<u32> = const { Cell::new(0) };
    /// When the last panic of this thread began, as far as a hook of ours has seen it.
    static BEGAN: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// The panics that spans have recorded, the latest last.
static ON_THEIR_WAY: Mutex<VecDeque<OnItsWay>> = Mutex::new(VecDeque::new());

struct OnItsWay {
    panic: PanicId,
    at: Instant,
    by: (TraceId, SpanId),
}

fn on_their_way() -> MutexGuard<'static, VecDeque<OnItsWay>> {
    ON_THEIR_WAY.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Which panic a payload is of. A payload stays where it is in memory for as long as somebody has it, on whatever thread; after
/// that another one may take its place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PanicId {
    address: usize,
    of: TypeId,
}

impl PanicId {
    /// That of a payload, as `catch_unwind` gives it.
    pub fn of(payload: &(dyn Any + Send)) -> Self {
        Self { address: std::ptr::from_ref(payload).addr(), of: payload.type_id() }
    }

    /// The outermost span that has recorded this very panic since that moment, the beginning of the code that it came out of.
    pub fn recorded_by(self, since: Instant) -> Option<(TraceId, SpanId)> {
        // A panic that began on this thread after that was another one.
        let since = BEGAN.try_with(Cell::get).ok().flatten().map_or(since, |began| began.max(since));
        let known = on_their_way();
        known.iter().find(|known| known.panic == self && known.at >= since).map(|known| known.by)
    }
}

/// A panic that a span has recorded.
pub(crate) struct RecordedPanic {
    pub(crate) payload: Box<dyn Any + Send>,
    /// The span.
    pub(crate) by: (TraceId, SpanId),
}

impl RecordedPanic {
    /// Lets it continue on its way, on which the code that catches it can tell it from others.
    pub(crate) fn resume(self) -> ! {
        let panic = PanicId::of(&*self.payload);
        {
            let mut known = on_their_way();
            known.retain(|known| known.panic != panic);
            if known.len() >= RECORDED_PANICS {
                known.pop_front();
            }
            known.push_back(OnItsWay { panic, at: Instant::now(), by: self.by });
        }
        panic::resume_unwind(self.payload)
    }
}

/// To be called by every panic hook of ours: from now on this thread panics anew. It never panics.
pub fn panic_begins() {
    let _ = BEGAN.try_with(|began| began.set(Some(Instant::now())));
}

/// Runs code and catches its panic, which the caller records as a failure of a span.
pub fn catch_recorded<T>(code: impl FnOnce() -> T) -> std::thread::Result<T> {
    struct Within;
    impl Drop for Within {
        fn drop(&mut self) {
            let _ = RECORDED.try_with(|depth| depth.set(depth.get().saturating_sub(1)));
        }
    }
    let _ = RECORDED.try_with(|depth| depth.set(depth.get().saturating_add(1)));
    let _within = Within;
    catch_unwind(AssertUnwindSafe(code))
}

/// Whether a panic of this thread would be recorded by the span around it, unless something in between catches it. A panic
/// hook that reports panics asks this, so that none is reported twice; it never panics.
pub fn panics_are_recorded_here() -> bool {
    RECORDED.try_with(|depth| depth.get() > 0).unwrap_or_default()
}

/// Installs a panic hook that remembers the place of each panic, in front of the one that there is.
pub(crate) fn remember_locations() {
    static INSTALLED: Once = Once::new();
    // No hook can be set then.
    if std::thread::panicking() {
        return;
    }
    INSTALLED.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            panic_begins();
            let message = panic.payload_as_str().unwrap_or_default().to_owned();
            let place = panic.location().map(panic_place);
            // A panic in here would end the process: where the place is in use, or gone, the old one stays.
            let _ = LAST.try_with(|last| {
                if let Ok(mut last) = last.try_borrow_mut() {
                    *last = place.map(|place| (message, place));
                }
            });
            before(panic);
        }));
    });
}

/// What is recorded of a panic, from the payload that `catch_unwind` gives; ends in the place where it happened, as in
/// `at src/pay.rs:81`, if the emitter was built with [`panic_locations`](crate::ThroughlineBuilder::panic_locations).
pub fn describe_panic(payload: &(dyn Any + Send)) -> ErrorInfo {
    let mut info = ErrorInfo::of_panic(payload);
    let said = payload
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    let place = LAST.try_with(|last| {
        let last = last.try_borrow().ok()?;
        let (message, place) = last.as_ref()?;
        // A payload that was carried to another thread, or kept, may be of another panic.
        (said.unwrap_or_default() == message).then(|| place.clone())
    });
    if let Ok(Some(place)) = place {
        info = info.at_place(&place);
    }
    info
}

/// Where a panic happened, as records have it: the file as the compiler names it and the line, as in `src/pay.rs:81`.
pub fn panic_place(location: &Location<'_>) -> String {
    format!("{}:{}", shown(location.file()), location.line())
}

/// The file as the compiler names it; of a path that says where things are on a machine, only what a reader needs: the crate,
/// and the file in it.
fn shown(file: &str) -> String {
    let file = file.replace('\\', "/");
    let is_absolute = file.starts_with('/') || file.get(1..3) == Some(":/");
    if !is_absolute {
        return file;
    }
    let folder = file.rfind("/src/").unwrap_or_else(|| file.rfind('/').unwrap_or_default());
    let start = file.get(..folder).and_then(|before| before.rfind('/')).map_or(0, |slash| slash + 1);
    file.get(start..).unwrap_or_default().trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_named_as_the_compiler_does_and_never_by_where_it_is_on_the_machine() {
        for (file, expected) in [
            ("src/pay.rs", "src/pay.rs"),
            ("crates/pay/src/card/check.rs", "crates/pay/src/card/check.rs"),
            (r"crates\pay\src\card.rs", "crates/pay/src/card.rs"),
            (
                "/home/ada/.cargo/registry/src/index.crates.io-1949cf8c/pay-1.0.2/src/lib.rs",
                "pay-1.0.2/src/lib.rs",
            ),
            ("/rustc/59807616/library/core/src/option.rs", "core/src/option.rs"),
            ("/home/ada/loans/tests/it/card.rs", "it/card.rs"),
            (r"C:\Users\ada\loans\src\main.rs", "loans/src/main.rs"),
            ("/main.rs", "main.rs"),
            ("", ""),
        ] {
            assert_eq!(shown(file), expected, "{file}");
        }
    }
}
