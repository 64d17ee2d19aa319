//! What an applicant sends, and what comes back.

use serde::{Deserialize, Serialize};

/// An application for a loan. The applicant's data must not appear in any trace.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Application {
    pub(crate) id: String,
    pub(crate) amount: u32,
    pub(crate) income: u32,
    /// What secures the loan: `house`, `car`, `boat` or `none`.
    pub(crate) collateral: String,
    pub(crate) applicant: Applicant,
}

/// Who applies.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Applicant {
    pub(crate) full_name: String,
    pub(crate) email: String,
    pub(crate) ssn: String,
    pub(crate) iban: String,
}

/// A loan that was granted.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Offer {
    pub(crate) loan: String,
    pub(crate) contract: String,
    pub(crate) rate_percent: f64,
}

/// Why an application was not granted.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoanError {
    /// It is not valid.
    #[error("the amount must be between 1,000 and 100,000, got {0}")]
    BadAmount(u32),
    /// The bureau did not answer in time.
    #[error("the credit bureau did not answer")]
    BureauTimeout(#[source] std::io::Error),
    /// Nobody registers this collateral.
    #[error("the registry refuses the collateral")]
    CollateralRefused(#[source] RegistryError),
    /// The reservation of funds can't be taken back.
    #[error("the treasury has frozen the reservation")]
    ReservationFrozen,
    /// A step never ran, or an event was not recorded.
    #[error(transparent)]
    NotRecorded(#[from] throughline::NotRecorded),
}

/// What the registry says.
#[derive(Debug, thiserror::Error)]
#[error("no register is kept for a {0}")]
pub(crate) struct RegistryError(pub(crate) String);
