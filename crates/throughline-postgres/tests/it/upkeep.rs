//! What the server knows of the tables, so that it finds the quick way to an answer.

use std::time::Duration;

use throughline_model::testing::run;

use crate::server::Database;
use crate::{open, shared};

#[tokio::test]
async fn the_partitioned_table_has_statistics_once_its_partitions_have_grown() {
    let Some(database) = Database::new() else { return };
    let store = open(&database.store()).await;
    let mut large = run("large");
    large.root();
    (0..1500).for_each(|_| {
        large.begin("stage:score");
    });
    store.append(&shared(&large.events())).await.unwrap();
    store.close().await.unwrap();
    // As the server does on its own for a partition, after a while.
    let days = "SELECT string_agg(inhrelid::regclass::text, ', ') FROM pg_inherits \
                WHERE inhparent = 'throughline.event'::regclass";
    database.psql(&format!("ANALYZE {}", database.psql(days)));
    let known =
        "SELECT greatest(reltuples, 0)::bigint FROM pg_class WHERE oid = 'throughline.event'::regclass";
    assert_eq!(database.psql(known), "0", "nobody has made them yet");

    let _keeper = open(&database.store()).await;
    let made = async {
        while database.psql(known) == "0" {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), made).await.expect("a keeper makes them");
    assert_eq!(database.psql(known), "1501");
}
