//! Web pages of runs, to nest in the service: which runs there are, why one failed, what runs now, where runs fail.
//!
//! Without [`auth`](ViewerBuilder::auth) they are shown to this machine alone, which the service has to let the viewer know
//! by [`into_make_service_with_connect_info`](https://docs.rs/axum/latest/axum/struct.Router.html#method.into_make_service_with_connect_info).
//!
//! ```
//! use std::net::SocketAddr;
//!
//! use axum::Router;
//! use throughline::viewer::Viewer;
//! use throughline::{MemoryStore, Throughline};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let throughline = Throughline::builder("loan-service").store(MemoryStore::new()).build()?;
//! let viewer = Viewer::of(&throughline).build()?;
//! let app: Router = Router::new().nest_service("/throughline", viewer.router());
//! let app = app.into_make_service_with_connect_info::<SocketAddr>();
//! # let _ = app;
//! # Ok(())
//! # }
//! ```

pub use throughline_viewer::{Access, Auth, BoundViewer, OneFile, Viewer, ViewerBuilder, ViewerError};
