//! Everything that a store does works through PgBouncer in transaction mode, which hands each transaction to whichever session
//! is free.

use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use throughline_model::testing::conformance::{FeedFixture, StoreFixture};
use throughline_model::testing::run;
use throughline_model::{Claim, FeedConfig, StoreConfig};
use throughline_postgres::PostgresStore;

use crate::conformance::Fixture;
use crate::server::{Database, Server, as_postgres};
use crate::{open, shared};

/// Runs what it is given until its standard input ends. The other end of that is ours, and closes however we end.
const TIED_TO_US: &str = r#""$@" & pooler=$!; read -r line; kill -TERM "$pooler"; wait "$pooler""#;

/// Of few sessions, so that they are shared.
const SESSIONS: u32 = 3;

/// A PgBouncer in front of the server of this process, and in its folder.
struct Pooler {
    process: Child,
}

impl Drop for Pooler {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

impl Pooler {
    const PORT: u32 = 6432;

    fn start(server: &Server) -> Self {
        let folder = server.folder();
        let file = |name: &str, content: &str| {
            let path = folder.join(name);
            std::fs::write(&path, content).unwrap();
            path
        };
        let users = file("pgbouncer-users", "\"postgres\" \"\"\n");
        let shown = folder.display();
        let settings = format!(
            "[databases]\n* = host={shown}\n[pgbouncer]\nlisten_addr =\nlisten_port = {}\nunix_socket_dir = {shown}\n\
             auth_type = trust\nauth_file = {}\nadmin_users = postgres\npool_mode = transaction\n\
             default_pool_size = {SESSIONS}\nmax_client_conn = 1000\n",
            Self::PORT,
            users.display()
        );
        let settings = file("pgbouncer.ini", &settings);
        let pooler = as_postgres("pgbouncer");
        let mut command = Command::new("sh");
        command.args(["-c", TIED_TO_US, "sh"]).arg(pooler.get_program()).args(pooler.get_args());
        let log = std::fs::File::create(folder.join("pgbouncer-log")).unwrap();
        command.arg("-q").arg(settings).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut process = command.spawn().unwrap();
        // Between its bind and its listen the socket is there and refuses.
        let socket = folder.join(format!(".s.PGSQL.{}", Self::PORT));
        while UnixStream::connect(&socket).is_err() {
            if let Some(status) = process.try_wait().unwrap() {
                panic!("pgbouncer ended with {status} before it was ready");
            }
            std::thread::yield_now();
        }
        Self { process }
    }

    /// The one of this process; `None` where there is none and none is required.
    fn shared(server: &Server) -> Option<&'static Self> {
        static POOLER: OnceLock<Option<Pooler>> = OnceLock::new();
        let is_required = std::env::var("THROUGHLINE_SERVICES").is_ok_and(|services| services == "required");
        let is_there = || Command::new("pgbouncer").arg("--version").output().is_ok();
        let start = || match is_required || is_there() {
            true => Some(Self::start(server)),
            false => {
                eprintln!("left out: there is no pgbouncer");
                None
            }
        };
        POOLER.get_or_init(start).as_ref()
    }
}

/// The promises of a store, made by one that is behind the pooler.
struct Pooled(Fixture);

fn pooled() -> Option<(PostgresStore, Database)> {
    let database = Database::new()?;
    Pooler::shared(database.server)?;
    Some((PostgresStore::new(format!("{} port={}", database.url(), Pooler::PORT)), database))
}

impl StoreFixture for Pooled {
    fn fresh() -> Self {
        Self(Fixture::of(pooled()))
    }

    fn config(&self) -> Box<dyn StoreConfig> {
        StoreFixture::config(&self.0)
    }

    fn advance(&self, time: Duration) -> bool {
        self.0.advance(time)
    }

    fn keeps_processes(&self) -> bool {
        self.0.keeps_processes()
    }

    fn keeps_secret(&self) -> bool {
        self.0.keeps_secret()
    }
}

throughline_model::store_conformance!(Pooled);

impl FeedFixture for Pooled {
    fn fresh() -> Self {
        Self(Fixture::of(pooled()))
    }

    fn config(&self) -> Box<dyn FeedConfig> {
        FeedFixture::config(&self.0)
    }

    fn flood(&self) -> usize {
        self.0.flood()
    }

    fn kept(&self) -> usize {
        self.0.kept()
    }
}

mod stream {
    use super::Pooled;

    throughline_model::feed_conformance!(Pooled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_stores_share_few_sessions() {
    let Some((store, database)) = pooled() else { return };
    // Each would have two sessions of its own, and more to read.
    let mut stores = Vec::new();
    for _ in 0..8 {
        stores.push(open(&store).await);
    }
    let writing = stores.iter().enumerate().map(|(number, store)| async move {
        for n in 0..10 {
            let mut of_store = run(&format!("run-{number}-{n}"));
            of_store.root();
            of_store.complete_run();
            store.append(&shared(&of_store.events())).await.unwrap();
            store.heartbeat().await.unwrap();
            assert_eq!(store.claim(of_store.trace_id()).await.unwrap(), Claim::Granted);
            store.release(of_store.trace_id()).await.unwrap();
        }
    });
    futures_util::future::join_all(writing).await;
    assert_eq!(database.psql("SELECT count(*) FROM throughline.runs WHERE state = 'succeeded'"), "80");
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND client_port = -1 \
        AND pid <> pg_backend_pid() AND backend_type = 'client backend'";
    assert!(
        database.psql(sessions).parse::<u32>().unwrap() <= SESSIONS,
        "it is the pooler that was written through"
    );
}
