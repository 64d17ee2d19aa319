//! [`Durability`], what a step waits for.

/// How a step and its start in the store hang together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Durability {
    /// A step begins when its start is durable.
    #[default]
    Strict,
    /// A step begins at once, and ends when both it and its start are done: one round trip to the store less,
    /// at the price that a step may have begun although it is then reported as
    /// [not started](crate::NotRecorded).
    Pipelined,
}
