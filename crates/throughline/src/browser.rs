//! What browsers see: how fast pages load and react, what fails in them, and which click led to which request.
//!
//! ```
//! use axum::{Router, routing::post};
//! use throughline::browser::Browser;
//! use throughline::{LayerExt as _, MemoryStore, Throughline};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("shop").store(MemoryStore::new()).build()?;
//! let browser = Browser::builder(&throughline).build()?;
//! let app = Router::new().route("/orders", post(|| async { "ordered" })).layer(throughline.layer());
//! // Pages load `/browser/script.js`, which sends to `/browser/report`.
//! let app: Router = browser.add_to(app);
//! # Ok(())
//! # }
//! ```
//!
//! `docs/guide/browsers.md` says what a page has to do, and what is sent.

pub use throughline_tower::browser::{Browser, BrowserBuilder, BrowserError, ReportError};
