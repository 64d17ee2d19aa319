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
  throughline mcp --listen 10.0.0.5:7333 --token-file token.txt
  throughline mcp --listen 10.0.0.5:7333 --token-file token.txt \\
                  --token-file-without-payloads support.txt")]
pub(crate) struct McpArgs {
    /// Serve streamable HTTP at this address instead of standard input and output; without a token only at a loopback
    /// address, such as 127.0.0.1:7333
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<SocketAddr>,
    /// Demand the first line of this file as a bearer token of every request
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) token_file: Option<PathBuf>,
    /// Answer those, too, who send the first line of this file as their bearer token, as --without-payloads has it
    #[arg(long, value_name = "FILE", requires = "listen")]
    pub(crate) token_file_without_payloads: Option<PathBuf>,
    /// Show runs and their steps without what they worked on: no payloads and choices, no messages of errors, and of
    /// attributes and tags only those that say what a step is
    #[arg(long)]
    pub(crate) without_payloads: bool,
}
