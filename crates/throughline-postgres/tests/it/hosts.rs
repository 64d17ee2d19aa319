//! Several hosts in one connection string.

use throughline_model::testing::run;
use throughline_postgres::PostgresStore;

use crate::faults::append_until_taken;
use crate::server::{Database, Server};
use crate::{open, shared};

#[tokio::test]
async fn of_several_hosts_the_one_that_takes_writes_is_written_to_and_after_a_failover_the_other() {
    let Some(database) = Database::new() else { return };
    let (one, name) = (database.server, &database.name);
    let other = Server::start();
    other.psql("postgres", &format!("CREATE DATABASE {name}")).unwrap();
    for server in [one, &other] {
        open(&PostgresStore::new(server.url(name))).await.close().await.unwrap();
    }
    let is_standby = |server: &Server, is_standby: bool| {
        let set = format!("ALTER DATABASE {name} SET default_transaction_read_only = {is_standby}");
        server.psql("postgres", &set).unwrap();
        let cut = format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
        server.psql("postgres", &cut).unwrap();
    };
    let runs = |server: &Server| server.psql(name, "SELECT count(*) FROM throughline.runs").unwrap();

    is_standby(one, true);
    let hosts = format!("/nowhere,{},{}", one.folder().display(), other.folder().display());
    let store = open(&PostgresStore::new(format!("host={hosts} user=postgres dbname={name}"))).await;
    let mut before = run("before");
    before.complete_run();
    store.append(&shared(&before.events())).await.unwrap();
    assert_eq!((runs(one), runs(&other)), ("0".to_owned(), "1".to_owned()));

    is_standby(one, false);
    is_standby(&other, true);
    let mut after = run("after");
    after.complete_run();
    append_until_taken(&*store, &shared(&after.events())).await;
    assert_eq!((runs(one), runs(&other)), ("1".to_owned(), "1".to_owned()));
}
