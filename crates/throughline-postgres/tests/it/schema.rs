//! How the schema comes to be there, and who may use it.

use throughline_model::testing::run;
use throughline_model::{Instance, InstanceId, OpenError, StoreConfig};
use throughline_postgres::PostgresStore;

use crate::server::Database;
use crate::{open, shared};

#[tokio::test]
async fn a_new_database_can_be_opened_by_many_at_once() {
    let Some(database) = Database::new() else { return };
    let open = || {
        let store = database.store();
        tokio::spawn(async move { open(&store).await.close().await.unwrap() })
    };
    for opened in std::array::from_fn::<_, 8, _>(|_| open()) {
        opened.await.unwrap();
    }
    assert_eq!(database.psql("SELECT string_agg(version::text, ',') FROM throughline.migration"), "1");
}

#[tokio::test]
async fn a_newer_schema_is_refused_and_the_error_says_what_to_use() {
    let Some(database) = Database::new() else { return };
    open(&database.store()).await.close().await.unwrap();
    database.psql("INSERT INTO throughline.migration (version) VALUES (99)");
    let to_write = database.store().open(Instance::new(InstanceId::random(), "test")).await.map(drop);
    let to_read = database.store().open_reader().await.map(drop);
    for error in [to_write.unwrap_err(), to_read.unwrap_err()] {
        assert!(matches!(error, OpenError::Unusable { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("version 99") && text.contains("or a later one"), "{text}");
    }
}

#[tokio::test]
async fn a_role_without_the_right_to_create_anything_writes_for_good_once_migrated() {
    let Some(database) = Database::new() else { return };
    let role = format!("app_of_{}", database.name);
    database.psql(&format!("CREATE ROLE {role} LOGIN"));
    let as_role = PostgresStore::new(database.url().replace("user=postgres", &format!("user={role}")));
    let as_new = || async { as_role.open(Instance::new(InstanceId::random(), "test")).await };
    let error = as_new().await.map(drop).unwrap_err();
    assert!(!error.is_retryable() && error.to_string().contains("grant"), "{error}");

    open(&database.store()).await.close().await.unwrap();
    database.psql(&format!(
        "GRANT USAGE ON SCHEMA throughline TO {role};
         GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA throughline TO {role}"
    ));
    let last = "(SELECT max(c.oid::regclass::text) FROM pg_class c JOIN pg_inherits i ON i.inhrelid = c.oid \
                 WHERE i.inhparent = 'throughline.event'::regclass)";
    let ahead = database.psql(&format!("SELECT {last}"));
    database.psql(&format!("DROP TABLE {ahead}"));
    let store = as_new().await.unwrap();
    assert_eq!(database.psql(&format!("SELECT {last}")), ahead, "it makes partitions all the same");
    let mut loan = run("loan");
    loan.complete_run();
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_day_without_a_partition_gets_one_when_it_is_written_to() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let partitions = "SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits \
                      WHERE inhparent = 'throughline.event'::regclass";
    database.psql(&format!("DROP TABLE {}", database.psql(partitions)));
    let mut loan = run("loan");
    loan.root();
    let error = store.append(&shared(&loan.events())).await.unwrap_err();
    assert!(error.is_retryable() && error.to_string().contains("partition"), "{error}");
    store.append(&shared(&loan.events())).await.unwrap();
    assert_eq!(store.readers().reader.trace(loan.trace_id()).await.unwrap(), loan.events());
}
