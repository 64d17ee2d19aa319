//! The server of the tests ends with them.

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::Killed;
use crate::server::{Server, is_left_out};

const ROLE: &str = "THROUGHLINE_TEST_POSTGRES_HOLDER";

#[test]
fn the_server_ends_with_who_started_it_even_by_sigkill() {
    if is_left_out() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "server_end::this_process_holds_a_server_when_it_is_told_to", "--nocapture"]);
    command.env(ROLE, "yes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = Killed(command.spawn().unwrap());
    let said = BufReader::new(holder.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let folder = said.filter_map(|line| line.strip_prefix("folder: ").map(PathBuf::from)).next().unwrap();
    let mut connection = UnixStream::connect(folder.join(".s.PGSQL.5432")).unwrap();
    // Longer than it takes on a machine that has much else to do.
    connection.set_read_timeout(Some(Duration::from_secs(120))).unwrap();

    holder.0.kill().unwrap();
    holder.0.wait().unwrap();
    assert_eq!(connection.read(&mut [0]).expect("the server ends"), 0, "and closes the connection");
    while folder.exists() {
        std::thread::yield_now();
    }
}

#[test]
fn this_process_holds_a_server_when_it_is_told_to() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let server = Server::start();
    println!("\nfolder: {}", server.folder().display());
    // Until it is killed; should that fail, until the other end of this is gone.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}
