//! The durable store of Throughline on Azure Cosmos DB, for services anywhere.
//!
//! [`CosmosStore`] keeps events in a container of a database. An event is acknowledged when the transactional batch that it
//! travelled in was committed. Any number of processes may write and read ([`CosmosReader`]).
//!
//! # The container
//!
//! All documents of a run are in one logical partition, which its trace id names: a document for each event, one for the
//! run as a whole, and one for the claim of those who resume it. So the story of one run is read from one place, and
//! questions across runs look at the documents of runs alone. The first process that opens the store makes database and
//! container if they are missing and if its credential allows that.
//!
//! # Costs
//!
//! Cosmos charges for each operation in request units. An event costs a document created, and each batch one more operation; a
//! question costs what it reads: one run is one partition, and a question across runs reads what its time range covers, up to a
//! bound. What was charged is in the delivery report.

mod append;
mod clock;
mod connect;
mod container;
mod document;
mod error;
mod lease;
mod partition;
mod question;
mod reader;
mod run;
mod store;

pub use reader::CosmosReader;
pub use store::CosmosStore;

/// The code of the README, as a doc test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
