//! The workflow of a loan, whichever process works on it.

use std::time::Duration;

use reqwest::Method;
use throughline::http::TracedClient;
use throughline::store::BoxError;
use throughline::{LayerExt as _, NotRecorded, Throughline, TraceContext};
use tower::{Layer as _, ServiceExt as _};

/// What its events are called, and where it is found by those that resume it.
pub(crate) const WORKFLOW: &str = "loan-approval";
/// The loan that is signed in another process.
pub(crate) const SIGNED_ELSEWHERE: &str = "loan-1";
/// The loan whose process is killed.
pub(crate) const LEFT: &str = "loan-2";

/// Who signs: a service that may be another process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Signer {
    client: TracedClient<reqwest::Client>,
    address: String,
}

impl Signer {
    pub(crate) fn at(throughline: &Throughline, address: &str) -> reqwest::Result<Self> {
        // The service is on this machine: no proxy is asked.
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Self { client: throughline.client_layer().layer(client), address: address.to_owned() })
    }

    /// The trace goes along with the request: what the signer does is a part of it.
    async fn sign(&self, loan: &str) -> Result<(), BoxError> {
        let url = format!("http://{}/contracts/{loan}", self.address).parse()?;
        let answer = self.client.clone().oneshot(reqwest::Request::new(Method::POST, url)).await?;
        answer.error_for_status()?;
        Ok(())
    }
}

/// Approves a loan. Called again by those that resume it, it does what has not been done.
pub(crate) async fn approve(ctx: TraceContext, loan: String, signer: Signer) -> Result<(), BoxError> {
    let is_resumed = ctx.completed_before("stage:credit-check");
    if !is_resumed {
        ctx.trace_infallible("stage:credit-check", async {}).await?;
    }
    if !ctx.completed_before("stage:reserve-funds") {
        let reserve = async {
            if loan == LEFT && !is_resumed {
                // The bank takes its time. This process will not see the end of it.
                tokio::time::sleep(Duration::from_secs(3600)).await;
            }
        };
        ctx.trace_infallible("stage:reserve-funds", reserve).await?;
    }
    signer.sign(&loan).await
}

/// What is done for a request to sign, in the trace of its caller.
pub(crate) async fn sign(ctx: &TraceContext, loan: &str) -> Result<(), NotRecorded> {
    let contract =
        ctx.trace_infallible("stage:print-contract", async { format!("contract of {loan}") }).await?;
    ctx.trace_infallible("stage:sign", async { drop(contract) }).await
}
