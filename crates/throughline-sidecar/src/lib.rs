//! What watches a service from beside it: [`Files`] follows its logs, [`Scraper`] asks for its metrics page, [`History`]
//! keeps what it said, [`Panel`] shows it; [`Prometheus`] is asked what it has scraped. Nothing here changes the service or writes to
//! its files.

mod address;
mod archive;
mod digest;
mod document;
mod files;
mod found;
mod health;
mod history;
mod identity;
mod level;
mod lines;
mod log_filter;
mod log_tally;
mod log_text;
mod page;
mod panel;
mod prometheus;
mod record;
mod scraper;
mod snapshot;
mod stream;
mod tail;

pub use digest::{Digest, Digests};
pub use document::{Block, Document, Section, Tone};
pub use files::Files;
pub use found::{FoundLine, LogsError};
pub use health::Health;
pub use history::History;
pub use level::LogLevel;
pub use log_filter::LogFilter;
pub use log_tally::{LevelCount, LogSummary, LogTally, LoggedError, MessageCount};
pub use log_text::LogStyle;
pub use page::Kind;
pub use panel::{Panel, PanelStyle, family_rank, shown_value};
pub use prometheus::{Prometheus, Sample};
pub use record::{LogTime, LogValue, Record};
pub use scraper::Scraper;
pub use snapshot::{Errors, Family, Percentiles, Snapshot};
