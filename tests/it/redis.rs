//! A Redis server of a test's own: the one that the example brings along.

#[path = "../../examples/apalis_worker/redis_server.rs"]
mod server;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

pub(crate) use server::Server;

/// How long something may take that either happens soon or never.
const PATIENCE: Duration = Duration::from_secs(20);

/// `None` where there is no `redis-server` and none is required.
pub(crate) fn start() -> Option<Server> {
    let services = std::env::var("THROUGHLINE_SERVICES").unwrap_or_default();
    let is_there = || Command::new("redis-server").arg("--version").output().is_ok();
    if services == "off" || (services != "required" && !is_there()) {
        eprintln!("left out: without redis-server there is no queue to work on");
        return None;
    }
    Some(Server::start().expect("redis-server runs: install it, or set THROUGHLINE_SERVICES=off"))
}

const ROLE: &str = "THROUGHLINE_TEST_REDIS_HOLDER";

#[test]
fn the_server_ends_with_who_started_it_even_by_sigkill() {
    if start().is_none() {
        return;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "redis::this_process_holds_a_server_when_it_is_told_to", "--nocapture"]);
    command.env(ROLE, "yes").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut holder = Killed(command.spawn().unwrap());
    let said = BufReader::new(holder.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let socket = said.filter_map(|line| line.strip_prefix("redis+unix://").map(str::to_owned)).next();
    let mut connection = UnixStream::connect(socket.unwrap()).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answer = [0; 7];
    connection.write_all(b"PING\r\n").unwrap();
    connection.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+PONG\r\n");

    holder.0.kill().unwrap();
    holder.0.wait().unwrap();
    assert_eq!(connection.read(&mut answer).expect("the server ends"), 0, "and closes the connection");
}

#[test]
fn this_process_holds_a_server_when_it_is_told_to() {
    if std::env::var_os(ROLE).is_none() {
        return;
    }
    let server = Server::start().unwrap();
    println!("\n{}", server.url());
    // Until it is killed; should that fail, until the other end of this is gone.
    std::io::stdin().read_to_end(&mut Vec::new()).unwrap();
}

/// Does not outlive a test that fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
