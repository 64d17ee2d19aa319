//! [`Durability`], what a step waits for.

/// What a step waits for, and what its caller may therefore rely on when it goes on.
///
/// | | `Strict` | `Coalesced` | `Pipelined` |
/// |---|---|---|---|
/// | A step's future runs | once its start is durable | once its start is durable | at once |
/// | A step returns | once its end is durable | at once | once its start and its end are durable |
/// | The next step of the run begins, an event or the run's end is recorded | after that | once this step's end is durable | after that |
/// | An answer leaves the HTTP layer | after that | once the ends of all steps of the request are durable | after that |
/// | Commits for each of several steps in a row | two | one | one or two |
/// | A process dies right after a step has returned | the step has ended | the step was interrupted, or has ended | the step has ended |
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A step begins when its start is durable, and returns when its end is.
    #[default]
    Strict,
    /// A step begins when its start is durable, and returns at once: its end becomes durable together with what the run
    /// records next, and before anybody is told that this is recorded. If nothing follows within two milliseconds, the end is
    /// stored by itself. This halves what a run of short steps waits for.
    ///
    /// If the process dies meanwhile, the step counts as interrupted although it had returned. Code that tells somebody
    /// outside the run of a step's outcome, other than in an answer or through a step or an event, waits for
    /// [`settled`](crate::TraceContext::settled) before it does.
    Coalesced,
    /// A step begins at once, and returns when it has completed and its start is durable: this saves a round trip to the
    /// store, but a step may have begun although it is then reported as [not started](crate::NotRecorded), and what it
    /// recorded meanwhile may be stored without its start.
    Pipelined,
}
