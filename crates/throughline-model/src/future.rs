//! [`BoxFuture`], what the contracts return.

use std::future::Future;
use std::pin::Pin;

/// A boxed future, as the traits of stores and feeds return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
