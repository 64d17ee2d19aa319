//! What went wrong between this process and the server, and how to fix it.

use std::time::Duration;

use throughline_model::{AppendError, OpenError, ReadError};
use tokio_postgres::error::{Error, SqlState};

/// The name of this store in delivery reports and errors.
pub(crate) const STORE: &str = "postgres";

/// Why something failed, before it is known what was asked for.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The server refused, or can't be reached.
    Server(Error),
    /// Something else that passes.
    Passing(&'static str),
    /// Nothing has been stored yet.
    NothingYet,
    /// It stays like this until somebody changes something.
    Unusable(String),
    /// A row that this library did not write, or that was changed since.
    Damaged(String),
    /// The event at this place can never be stored.
    Rejected { index: usize, reason: String },
    /// An error that is complete, such as an invalid query.
    Read(ReadError),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Self {
        Self::Server(error)
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
}

impl Fault {
    pub(crate) fn closed() -> Self {
        Self::Unusable("it is closed; open it again".to_owned())
    }

    /// What the server calls the error.
    pub(crate) fn code(&self) -> Option<&SqlState> {
        match self {
            Self::Server(error) => error.code(),
            _ => None,
        }
    }

    /// Whether the connection is gone, and not what was asked for at fault.
    pub(crate) fn is_of_connection(&self) -> bool {
        match self {
            Self::Server(error) => match error.code() {
                None => true,
                Some(code) => ["08", "57"].iter().any(|class| code.code().starts_with(class)),
            },
            _ => false,
        }
    }

    fn diagnose(self) -> Diagnosis {
        let (reason, is_temporary) = match self {
            Self::Server(error) => return diagnose(&error),
            Self::Passing(reason) => (reason.to_owned(), true),
            Self::NothingYet => (
                "the database has no schema `throughline`; the first process that writes to it creates it"
                    .to_owned(),
                false,
            ),
            Self::Unusable(reason) | Self::Damaged(reason) | Self::Rejected { reason, .. } => (reason, false),
            Self::Read(error) => (error.to_string(), error.is_retryable()),
        };
        Diagnosis { reason, is_temporary }
    }

    pub(crate) fn into_open_error(self) -> OpenError {
        let is_empty = matches!(self, Self::NothingYet);
        let Diagnosis { reason, is_temporary } = self.diagnose();
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
        // A transaction that lost against another one may win the next time.
        let lost = [&SqlState::T_R_DEADLOCK_DETECTED, &SqlState::T_R_SERIALIZATION_FAILURE];
        let at_once = self.code().is_some_and(|code| lost.contains(&code));
        let Diagnosis { reason, is_temporary } = self.diagnose();
        match is_temporary {
            true => AppendError::Unavailable {
                reason,
                retry_after: at_once.then_some(Duration::from_millis(10)),
                source: None,
            },
            false => AppendError::Broken { reason, source: None },
        }
    }

    pub(crate) fn into_read_error(self) -> ReadError {
        if let Self::Read(error) = self {
            return error;
        }
        let Diagnosis { reason, is_temporary } = self.diagnose();
        match is_temporary {
            true => ReadError::Unavailable { reason, source: None },
            false => ReadError::Damaged { reason, source: None },
        }
    }
}

/// The server's own words are left out: they may quote values, and those of a connection its parameters.
fn diagnose(error: &Error) -> Diagnosis {
    let Some(code) = error.code() else { return unreachable_server(error) };
    let (is_temporary, what) = match (code.code(), code.code().get(..2).unwrap_or_default()) {
        ("42P01" | "42703" | "42883" | "3F000", _) => (
            false,
            "its tables are not those of this release; run the same release everywhere, or restore the schema \
             `throughline`",
        ),
        ("42501", _) => (
            false,
            "the role has no right to do this; grant it what docs/guide/choosing-a-store.md lists, or open the store \
             once with the owner of the database",
        ),
        ("3D000", _) => (false, "there is no such database on the server; create it first"),
        ("25006", _) => (true, "the server is read-only, as a standby is; wait for it, or name the primary"),
        ("23514", _) => (true, "there is no partition of today yet; it is being made"),
        ("55P03", _) => (true, "another transaction has held a lock for too long"),
        (_, "28") => (false, "the server does not let this role in; check user, password and pg_hba.conf"),
        (_, "40") => (true, "another transaction was in the way"),
        (_, "53") => (true, "the server has no resources left: connections, memory or disk"),
        (_, "57") => (true, "the server is starting, stopping, or ended the connection"),
        (_, "58" | "08") => (true, "the server, or its disk, has a fault; look into its log"),
        (_, "25") => (true, "the transaction was ended by the server, as after a pause of this process"),
        _ => (false, "the server refuses this; look into its log"),
    };
    Diagnosis { reason: format!("{what} (SQLSTATE {})", code.code()), is_temporary }
}

fn unreachable_server(error: &Error) -> Diagnosis {
    use std::error::Error as _;
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let said = error.to_string();
    let reason = match io {
        Some(io) if said.contains("TLS handshake") => {
            return Diagnosis {
                reason: format!(
                    "the server could not prove by its certificate that it is the host that was asked for ({io}); check \
                     the name of the host, and name the authority that signed the certificate with sslrootcert=FILE"
                ),
                // A server that is stopping ends a handshake, too.
                is_temporary: io.kind() != std::io::ErrorKind::InvalidData,
            };
        }
        Some(io) => {
            format!("the server can't be reached ({}); check host and port, and that it runs", io.kind())
        }
        None if said.contains("TLS") => {
            return Diagnosis {
                reason: "TLS is asked for, which this server does not speak; set `ssl = on` there, or use \
                         `sslmode=disable` on a trusted network"
                    .to_owned(),
                is_temporary: false,
            };
        }
        None if error.is_closed() => "the connection to the server is closed".to_owned(),
        None => "the server did not answer as expected; check host and port, user and password".to_owned(),
    };
    Diagnosis { reason, is_temporary: true }
}
