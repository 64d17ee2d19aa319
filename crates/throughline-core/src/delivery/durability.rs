//! [`Durability`], what a step waits for.

/// Whether a step waits until its start is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A step begins when its start is durable.
    #[default]
    Strict,
    /// A step begins at once, and ends when it has completed and its start is durable: this saves a round trip to the
    /// store, but a step may have begun although it is then reported as [not started](crate::NotRecorded), and what it
    /// recorded meanwhile may be stored without its start.
    Pipelined,
}
