//! What the store on SQLite promises, beyond what every store does.

mod conformance;
