//! What the server does to those that use it: it ends, cuts, refuses and locks.

use std::sync::Arc;

use throughline_model::testing::run;
use throughline_model::{AppendError, Instance, InstanceId, OpenError, StoreConfig, TraceEvent, TraceStore};
use throughline_postgres::PostgresStore;
use tokio_postgres::NoTls;

use crate::server::Database;
use crate::{open, shared};

/// Appends as delivery does: an error that passes is no reason to give up. Returns the errors.
pub(crate) async fn append_until_taken(
    store: &dyn TraceStore,
    events: &[Arc<TraceEvent>],
) -> Vec<AppendError> {
    let mut errors = Vec::new();
    while let Err(error) = store.append(events).await {
        assert!(error.is_retryable(), "{error}");
        errors.push(error);
        assert!(errors.len() < 1000, "it never passes: {errors:?}");
        tokio::task::yield_now().await;
    }
    errors
}

async fn refusal(url: &str) -> OpenError {
    let store = PostgresStore::new(url);
    store.open(Instance::new(InstanceId::random(), "test")).await.map(drop).unwrap_err()
}

#[tokio::test]
async fn connections_that_were_cut_are_opened_again() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let reader = store.readers().reader;
    let mut loan = run("loan");
    loan.root();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap().len(), 1);
    store.heartbeat().await.unwrap();

    database.psql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap().len(), 1, "a reader tries again");
    loan.complete_run();
    append_until_taken(&*store, &shared(&loan.events())).await;
    assert_eq!(reader.trace(loan.trace_id()).await.unwrap().len(), 2);
    while let Err(error) = store.heartbeat().await {
        assert!(error.is_retryable(), "{error}");
    }
}

#[tokio::test]
async fn a_server_that_is_read_only_is_waited_for() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let mut loan = run("loan");
    loan.root();
    let cut = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let set = |to| format!("ALTER DATABASE {} SET default_transaction_read_only = {to}", database.name);
    database.psql(&set("on"));
    // Only new sessions are.
    database.psql(cut);
    let read_only = loop {
        let error = store.append(&shared(&loan.events())).await.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        if error.to_string().contains("read-only") {
            break error.to_string();
        }
    };
    assert!(read_only.contains("name the primary"), "{read_only}");
    database.server.psql("postgres", &set("off")).unwrap();
    append_until_taken(&*store, &shared(&loan.events())).await;
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}

#[tokio::test]
async fn a_deadlock_is_lost_and_won_the_next_time() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let mut runs = [run("one"), run("two")];
    runs.iter_mut().for_each(|run| {
        run.root();
    });
    runs.sort_by_key(|run| run.trace_id());
    let both = |runs: &[throughline_model::testing::RunBuilder; 2]| {
        shared(&runs.iter().flat_map(|run| run.events()).collect::<Vec<_>>())
    };
    store.append(&both(&runs)).await.unwrap();
    runs.iter_mut().for_each(|run| {
        run.complete_run();
    });

    let (other, connection) = tokio_postgres::connect(&database.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = |run: &throughline_model::testing::RunBuilder| {
        format!("SELECT FROM throughline.run WHERE encode(trace_id, 'hex') = '{}' FOR UPDATE", run.trace_id())
    };
    // It looks for deadlocks later than the store, which is the one to lose.
    other.batch_execute("BEGIN; SET LOCAL deadlock_timeout = '1min'").await.unwrap();
    other.batch_execute(&lock(&runs[1])).await.unwrap();
    let appending = tokio::spawn({
        let (store, events) = (Arc::clone(&store), both(&runs));
        async move { store.append(&events).await }
    });
    wait_for_lock(&database).await;
    other.batch_execute(&lock(&runs[0])).await.unwrap();
    let error = appending.await.unwrap().unwrap_err();
    assert!(matches!(&error, AppendError::Unavailable { retry_after: Some(_), .. }), "{error:?}");
    assert!(error.to_string().contains("in the way"), "{error}");
    other.batch_execute("ROLLBACK").await.unwrap();
    store.append(&both(&runs)).await.unwrap();
    for run in runs {
        assert_eq!(store.readers().reader.trace(run.trace_id()).await.unwrap(), run.events());
    }
}

/// Until a writer waits for the row of a run in the database.
pub(crate) async fn wait_for_lock(database: &Database) {
    let waits = "SELECT count(*) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock' \
                 AND query SIMILAR TO 'SELECT %throughline.(append|add_events)%'";
    while database.psql(waits) == "0" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn what_cannot_be_reached_or_used_says_how_to_fix_it_and_no_password() {
    let error = refusal("postgres://loans:hunter2@127.0.0.1:1/audit").await;
    assert!(error.is_retryable() && error.to_string().contains("check host and port"), "{error}");
    let error = refusal("postgres://loans:hun?ter2@127.0.0.1:port/audit").await;
    assert!(!error.is_retryable() && error.to_string().contains("percent-encoded"), "{error}");
    assert!(!format!("{error:?}").contains("ter2"), "{error:?}");
    assert!(!format!("{:?}", PostgresStore::new("postgres://loans:hunter2@db/audit")).contains("hunter2"));

    let Some(database) = Database::new() else { return };
    let error = refusal(&format!("{} password=hunter2", database.server.url("nowhere"))).await;
    assert!(!error.is_retryable() && error.to_string().contains("create it first"), "{error}");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    #[cfg(not(feature = "tls"))]
    {
        let error = refusal(&format!("{} sslmode=require", database.url())).await;
        assert!(!error.is_retryable() && error.to_string().contains("postgres-tls"), "{error}");
    }
    let error = PostgresStore::new(database.url()).open_reader().await.unwrap_err();
    assert!(matches!(error, OpenError::NothingYet { .. }), "{error:?}");
    assert!(error.to_string().contains("first process that writes"), "{error}");
}
