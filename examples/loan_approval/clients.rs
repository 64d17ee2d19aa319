//! The applicants: real HTTP over the socket.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::Context as _;
use serde_json::Value;
use throughline::TraceId;
use tokio::task::JoinHandle;

use crate::application::{Applicant, Application};
use crate::service::Desk;

/// The applicant that hangs up before the answer comes.
pub(crate) const IMPATIENT: &str = "loan-1039";

/// The application that nobody has decided yet.
pub(crate) const UNDECIDED: &str = "loan-1040";

/// What the clients saw.
pub(crate) struct Seen {
    /// How many answers of each status code.
    pub(crate) answers: BTreeMap<u16, usize>,
    /// A run that failed and could not be undone altogether.
    pub(crate) failed: TraceId,
    /// The application that is still on the desk.
    pub(crate) waiting: JoinHandle<()>,
    /// What must not be found in any trace.
    pub(crate) secrets: Vec<String>,
}

/// Sends forty applications: most are granted; some fail, one hangs up, one panics, one is left on the desk.
pub(crate) async fn send_applications(address: SocketAddr, desk: &Desk) -> anyhow::Result<Seen> {
    // The service is on this machine: no proxy is asked.
    let client = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{address}/loans");
    let mut answers = BTreeMap::new();
    let mut secrets = Vec::new();
    let mut failed = None;
    for number in 0..38 {
        let application = application(number);
        let Applicant { full_name, email, ssn, iban } = application.applicant.clone();
        secrets.extend([full_name, email, ssn, iban]);
        let answer = client.post(&url).json(&application).send().await?;
        *answers.entry(answer.status().as_u16()).or_default() += 1;
        let body: Value = answer.json().await?;
        if body["undone"] == false {
            failed = Some(serde_json::from_value(body["trace_id"].clone())?);
        }
    }

    // One client hangs up while its notice is under way.
    let impatient = client.post(&url).json(&Application { id: IMPATIENT.to_owned(), ..application(1) });
    let request = tokio::spawn(impatient.send());
    desk.slow_notice.notified().await;
    request.abort();

    // And one application waits on the desk while the story is printed.
    let undecided =
        Application { id: UNDECIDED.to_owned(), amount: 90_000, income: 21_000, ..application(2) };
    let undecided = Application { collateral: "none".to_owned(), ..undecided };
    let request = client.post(&url).json(&undecided).send();
    let waiting = tokio::spawn(async move {
        let _ = request.await;
    });
    desk.waiting.notified().await;

    let failed = failed.context("none of the applications failed in the way that the story is about")?;
    Ok(Seen { answers, failed, waiting, secrets })
}

/// The applications differ by arithmetic, so that every run tells the same story.
fn application(number: u32) -> Application {
    let collateral = ["house", "car", "none", "boat"][number as usize % 4];
    Application {
        id: format!("loan-{}", 1001 + number),
        amount: if number == 17 { 500 } else { 12_000 + number * 1_700 },
        income: if number == 29 { 140_000 } else { 38_000 + number * 577 },
        collateral: collateral.to_owned(),
        applicant: Applicant {
            full_name: format!("Applicant Number{number:02}"),
            email: format!("applicant{number:02}@example.org"),
            ssn: format!("{}-{}-{}", 210 + number, 10 + number, 4200 + number),
            iban: iban(number),
        },
    }
}

/// A Dutch IBAN with the check digits that belong to it (ISO 13616).
fn iban(number: u32) -> String {
    let account = format!("{:010}", 417_164_300 + number);
    // N, L and the letters of the bank as numbers, then 00 for the check digits.
    let digits = format!("10112310{account}232100");
    let remainder =
        digits.bytes().fold(0, |remainder, digit| (remainder * 10 + u32::from(digit - b'0')) % 97);
    format!("NL{:02}ABNA{account}", 98 - remainder)
}

/// An application to try by hand.
pub(crate) fn sample() -> String {
    let by_hand = Application { id: "loan-by-hand".to_owned(), ..application(3) };
    serde_json::to_string(&by_hand).unwrap_or_default()
}
