//! What went wrong between this process and the service, and how to fix it.

use std::time::Duration;

use azure_data_cosmos::CosmosError;
use throughline_model::{AppendError, OpenError, ReadError};

/// The name of this store in delivery reports and errors.
pub(crate) const STORE: &str = "cosmos";

/// What is wrong with an endpoint that can't be one, and is not repeated: it may be a connection string, with the key in it.
pub(crate) const INVALID_ENDPOINT: &str = "the endpoint is invalid; expected https://ACCOUNT.documents.azure.com, or as a \
                                           location cosmos:https://ACCOUNT.documents.azure.com/DATABASE";

/// Why something failed, before it is known what was asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The service refused it, or can't be reached.
    Service(Refusal),
    /// Something else that passes.
    Passing(&'static str),
    /// Nothing has been stored yet.
    NothingYet,
    /// It stays like this until somebody changes something.
    Unusable(String),
    /// A document that this library did not write, or that was changed since.
    Damaged(String),
    /// The event at this place can never be stored.
    Rejected { index: usize, reason: String },
    /// An error that is complete, such as an invalid query.
    Read(ReadError),
}

/// What the service answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: u16,
    /// Which kind of it; 0 if there are none.
    pub(crate) sub_status: u16,
    /// How long it asks to wait.
    pub(crate) retry_after: Option<Duration>,
}

impl Refusal {
    pub(crate) fn of(error: &CosmosError) -> Self {
        let status = error.status();
        let wait = error.response().and_then(|response| response.headers().retry_after_ms);
        Self {
            status: status.status_code().into(),
            sub_status: status.sub_status().map_or(0, |sub_status| sub_status.value()),
            retry_after: wait.map(Duration::from_millis),
        }
    }
}

impl From<CosmosError> for Fault {
    fn from(error: CosmosError) -> Self {
        Self::Service(Refusal::of(&error))
    }
}

impl From<ReadError> for Fault {
    fn from(error: ReadError) -> Self {
        Self::Read(error)
    }
}

/// What is wrong, for a person.
struct Diagnosis {
    reason: String,
    /// Whether it may go away without anybody changing anything here.
    is_temporary: bool,
    retry_after: Option<Duration>,
}

impl Fault {
    pub(crate) fn closed() -> Self {
        Self::Unusable("it is closed; open it again".to_owned())
    }

    fn diagnose(self) -> Diagnosis {
        let (reason, is_temporary) = match self {
            Self::Service(refusal) => return diagnose(refusal),
            Self::Passing(reason) => (reason.to_owned(), true),
            Self::NothingYet => (
                "there is no such container; the first process that writes to it creates it, if its credential allows that"
                    .to_owned(),
                false,
            ),
            Self::Unusable(reason) | Self::Damaged(reason) | Self::Rejected { reason, .. } => (reason, false),
            Self::Read(error) => (error.to_string(), error.is_retryable()),
        };
        Diagnosis { reason, is_temporary, retry_after: None }
    }

    pub(crate) fn into_open_error(self) -> OpenError {
        let is_empty = matches!(self, Self::NothingYet);
        let Diagnosis { reason, is_temporary, .. } = self.diagnose();
        match is_temporary {
            _ if is_empty => OpenError::NothingYet { store: STORE, reason },
            true => OpenError::Unavailable { store: STORE, reason, source: None },
            false => OpenError::Unusable { store: STORE, reason, source: None },
        }
    }

    pub(crate) fn into_append_error(self) -> AppendError {
        if let Self::Rejected { index, reason } = self {
            return AppendError::Rejected { index, reason };
        }
        let Diagnosis { reason, is_temporary, retry_after } = self.diagnose();
        match is_temporary {
            true => AppendError::Unavailable { reason, retry_after, source: None },
            false => AppendError::Broken { reason, source: None },
        }
    }

    pub(crate) fn into_read_error(self) -> ReadError {
        if let Self::Read(error) = self {
            return error;
        }
        let Diagnosis { reason, is_temporary, .. } = self.diagnose();
        match is_temporary {
            true => ReadError::Unavailable { reason, source: None },
            false => ReadError::Damaged { reason, source: None },
        }
    }
}

/// The words of the SDK are left out: they may quote an address or a value. `docs/guide/choosing-a-store.md` has this as a table.
fn diagnose(refusal: Refusal) -> Diagnosis {
    let Refusal { status, sub_status, retry_after } = refusal;
    let (is_temporary, what) = match (status, sub_status) {
        (401, _) => (
            false,
            "the service does not know the key or the token; check the credential and the clock of this machine",
        ),
        (403, 3) => (true, "this region takes no writes at the moment, as during a failover"),
        (403, 1008) => (true, "the account is not known in this region, as during a failover"),
        (403, _) => (
            false,
            "the credential does not allow this, or the firewall of the account keeps this machine out; grant the role \
             Cosmos DB Built-in Data Contributor, and create database and container beforehand",
        ),
        (404, 0) => {
            (false, "database or container do not exist any more; create them, or open the store again")
        }
        (404, _) => (true, "this replica is behind what was written"),
        // HTTP, to something that is no emulator on this machine.
        (400, 20_108) => (false, INVALID_ENDPOINT),
        (400 | 405 | 422, _) => (
            false,
            "the service refuses this; check that the container has the partition key /trace_id and indexes what \
             docs/guide/choosing-a-store.md lists",
        ),
        (413, _) => (false, "the service refuses this, as it is too large"),
        (408, _) => (true, "the service did not answer in time"),
        (429, _) => (true, "the request units of the container are used up; provision more of them"),
        (409 | 412 | 449, _) => (true, "somebody else has written to the same document"),
        (503, sub_status) if sub_status >= 20_000 => (
            true,
            "the service can't be reached; check the endpoint, and that this machine may connect to it",
        ),
        (500.., _) | (410, _) => (true, "the service is not available at the moment"),
        _ => (false, "the service refuses this"),
    };
    let kind = if sub_status == 0 { String::new() } else { format!("/{sub_status}") };
    Diagnosis { reason: format!("{what} (status {status}{kind})"), is_temporary, retry_after }
}
