//! What `mcp` takes.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;

/// `mcp`.
#[derive(Debug, Args)]
#[command(after_help = "\
It reads the store and changes nothing. Every answer keeps to the number of tokens that
is asked for, and has what runs recorded between marks that no run can forge. The server
ends when its input does. docs/guide/answers-for-agents.md has the tools.

Examples:
  claude mcp add throughline -- throughline mcp --store sqlite:/var/lib/loans/traces.db
  throughline mcp --listen 127.0.0.1:7333       at http://127.0.0.1:7333/mcp
  throughline mcp --listen 10.0.0.5:7333 --token-file token.txt")]
pub(crate) struct McpArgs {
    /// Serve streamable HTTP at this address instead of standard input and output; without a token only at a loopback
    /// address, such as 127.0.0.1:7333
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Demand the first line of this file as a bearer token of every request
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) token_file: Option<PathBuf>,
    /// Leave out inputs, outputs and all other payloads but what was decided
    #[arg(long)]
    pub(crate) without_payloads: bool,
}
