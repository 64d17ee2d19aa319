//! Clients that order payouts over HTTP.

use std::net::SocketAddr;

use anyhow::bail;
use serde::Deserialize;
use throughline::TraceId;

use crate::queue::Payout;

/// The loan at which the bank fails once.
pub(crate) const UNLUCKY: &str = "loan-2";
/// An order for curl.
pub(crate) const SAMPLE: &str = r#"{"loan":"loan-7","amount":25000}"#;

/// An order that was taken.
pub(crate) struct Order {
    pub(crate) loan: String,
    pub(crate) run: TraceId,
}

#[derive(Deserialize)]
struct Answer {
    run: TraceId,
}

/// Sends some orders over the socket.
pub(crate) async fn send_orders(address: SocketAddr) -> anyhow::Result<Vec<Order>> {
    // The service is on this machine: no proxy is asked.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let mut orders = Vec::new();
    for (loan, amount) in [("loan-1", 12_000), (UNLUCKY, 25_000), ("loan-3", 8_000)] {
        let payout = Payout { loan: loan.to_owned(), amount };
        let answer = client.post(format!("http://{address}/payouts")).json(&payout).send().await?;
        if answer.status() != reqwest::StatusCode::ACCEPTED {
            bail!("the order for {loan} was answered with {}", answer.status());
        }
        orders.push(Order { loan: payout.loan, run: answer.json::<Answer>().await?.run });
    }
    Ok(orders)
}
