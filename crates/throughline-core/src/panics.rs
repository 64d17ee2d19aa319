//! Where code panics: known to a panic hook alone, and that is the host's to install.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::panic::{self, AssertUnwindSafe, Location, catch_unwind};
use std::sync::Once;

use throughline_model::ErrorInfo;

thread_local! {
    /// The message and the place of the last panic of this thread.
    static LAST: RefCell<Option<(String, String)>> = const { RefCell::new(None) };
    /// How much of the code that this thread is in has its panics recorded.
    static RECORDED: Cell<u32> = const { Cell::new(0) };
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
