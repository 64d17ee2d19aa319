//! The client layer as a middleware of `reqwest-middleware`.

use async_trait::async_trait;
use http::Extensions;
use reqwest::{Request, Response};
use reqwest_middleware::{Middleware, Next, Result};
use throughline_core::TraceContext;

use super::{ClientLayer, exchange};

#[async_trait]
impl Middleware for ClientLayer {
    async fn handle(
        &self,
        request: Request,
        extensions: &mut Extensions,
        next: Next<'_>,
    ) -> Result<Response> {
        let send = |request| next.run(request, extensions);
        exchange::exchange(self, TraceContext::current(), request, send).await
    }
}
