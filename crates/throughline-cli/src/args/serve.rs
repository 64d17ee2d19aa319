//! What `serve` takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `serve`.
#[derive(Debug, Args)]
#[command(after_help = "\
The pages only read. They are shown to this machine alone, unless --token-file,
--token-file-without-payloads or --password-file says who else may look.

Examples:
  throughline serve --store sqlite:traces.db
  throughline serve --store postgres://app@db/traces --feed redis://127.0.0.1/
  throughline serve --store sqlite:traces.db --logs /var/log/loans
  throughline serve --store postgres://app@db/traces --outbox spool.db
  throughline serve --listen 0.0.0.0:7070 --host ops.example.org \\
                    --token-file /run/secrets/viewer")]
pub(crate) struct ServeArgs {
    /// Where to listen; port 0 is any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7070")]
    pub(crate) listen: SocketAddr,
    /// A live feed that tells the pages of what is new; without it, the store is watched if it can be
    #[arg(long, env = throughline_core::names::env::THROUGHLINE_FEED, hide_env_values = true, value_name = "FEED")]
    pub(crate) feed: Option<String>,
    /// Show with each run what was logged in it: a log file of the service, or a folder of them; may be repeated
    #[arg(long, value_name = "PATH")]
    pub(crate) logs: Vec<PathBuf>,
    /// Show the pages to those who send the token on the first line of this file
    #[arg(long, value_name = "FILE", conflicts_with = "password_file")]
    pub(crate) token_file: Option<PathBuf>,
    /// Show the pages to those, too, who send the token on the first line of this file: runs and their steps without payloads and
    /// choices, messages of errors, and most attributes and tags
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file_without_payloads: Option<PathBuf>,
    /// Show the pages to those who log in with NAME:PASSWORD, as the first line of this file has it
    #[arg(long, value_name = "FILE")]
    pub(crate) password_file: Option<PathBuf>,
    /// A name under which the pages are reached, where it is not localhost or an IP address; may be repeated
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,
    /// How many pages are told of what is new at once [default: 100]
    #[arg(long, value_name = "PAGES")]
    pub(crate) max_watchers: Option<usize>,
    /// How many of these pages one client may have open, told apart by its address [default: 20]
    #[arg(long, value_name = "PAGES")]
    pub(crate) max_watchers_each: Option<usize>,
}
