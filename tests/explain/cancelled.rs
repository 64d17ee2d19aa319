//! Who cancelled a run, and what it was at when it was.

use std::future::pending;

use throughline::context::CancelledBy;

use crate::scenario::{Run, Scenario, Story};
use crate::stories::pass;
use throughline::TraceContext;

pub(crate) fn all() -> Vec<Scenario> {
    let cancelled = |name, reason, says| Scenario {
        name,
        story: Story::Dropped(waits, reason),
        origin: "dependency:http api",
        says,
    };
    vec![
        cancelled(
            "a_client_that_hung_up_is_named_with_what_was_waited_for",
            CancelledBy::ClientGone,
            &["order was cancelled: the client hung up", "while it waited for dependency:http api"],
        ),
        cancelled(
            "a_run_that_was_cancelled_by_a_shutdown_says_so",
            CancelledBy::Shutdown,
            &["order was cancelled: the process was shut down"],
        ),
        cancelled(
            "a_run_whose_task_was_aborted_says_so",
            CancelledBy::Aborted,
            &["order was cancelled: its task was aborted"],
        ),
        cancelled(
            "a_run_that_an_executor_gave_up_says_that_its_time_ran_out",
            CancelledBy::Deadline(std::time::Duration::from_millis(250)),
            &["order was cancelled: its time ran out"],
        ),
    ]
}

/// A run that never ends.
fn waits(ctx: TraceContext) -> Run {
    Box::pin(async move {
        pass(&ctx, "stage:load").await?;
        let quote = ctx
            .step("stage:quote")
            .run(|ctx| async move { ctx.dependency("http", "api", pending::<anyhow::Result<()>>()).await? });
        quote.await?
    })
}
