//! How resources come to be, and whether they are well.

use std::future::{pending, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use throughline_core::{InContext as _, NotRecorded};
use throughline_workflow::Provisioning;
use tokio::sync::oneshot;
use tokio::time;

use crate::support::Bench;

async fn hanging(begun: oneshot::Sender<()>) -> Result<(), &'static str> {
    begun.send(()).unwrap();
    pending().await
}

#[tokio::test]
async fn the_making_of_a_resource_is_a_step_and_its_time_is_measured_by_outcome() {
    let bench = Bench::new();
    let sandboxes = Provisioning::new(&bench.throughline, "sandbox");
    time::pause();
    bench
        .throughline
        .workflow("session")
        .run(|ctx| async move {
            let boot = async {
                time::advance(Duration::from_secs(12)).await;
                Ok::<_, &str>("sandbox-1")
            };
            assert_eq!(sandboxes.create(&ctx, boot).await?, Ok("sandbox-1"));

            let refused = async {
                time::advance(Duration::from_secs(3)).await;
                Err::<(), _>("no capacity")
            };
            assert_eq!(sandboxes.create(&ctx, refused).await?, Err("no capacity"));

            // Dropped in mid-flight, once it has begun.
            let (begun, has_begun) = oneshot::channel();
            let hanging = tokio::spawn(sandboxes.create(&ctx, hanging(begun)));
            has_begun.await.unwrap();
            time::advance(Duration::from_secs(60)).await;
            hanging.abort();
            assert!(hanging.await.unwrap_err().is_cancelled());

            let panicking = sandboxes.create(&ctx, async {
                panic!("out of memory");
                #[expect(unreachable_code, reason = "it gives the future its type")]
                Ok::<(), &str>(())
            });
            let panicked = std::panic::AssertUnwindSafe(panicking).catch_unwind().await;
            assert!(panicked.is_err());

            // Never polled, it has not begun.
            drop(sandboxes.create(&ctx, ready(Ok::<(), &str>(()))));
            Ok::<_, NotRecorded>(())
        })
        .await
        .unwrap()
        .unwrap();
    insta::assert_snapshot!(bench.tree().await, @"
    workflow:started > workflow:completed success
      provision:sandbox success
      provision:sandbox failed [error]
      provision:sandbox cancelled [aborted]
      provision:sandbox failed [panic]
    ");
    insta::assert_snapshot!(bench.series("provisioning"), @"
    provisioning_duration_seconds{kind=sandbox, outcome=cancelled} [60.0]
    provisioning_duration_seconds{kind=sandbox, outcome=failed} [3.0, 0.0]
    provisioning_duration_seconds{kind=sandbox, outcome=success} [12.0]
    ");
}

#[tokio::test]
async fn what_is_made_can_be_made_in_a_task_of_its_own() {
    let bench = Bench::new();
    let made = bench.throughline.workflow("session").run_infallible(|ctx| {
        let sandboxes = Provisioning::new(&bench.throughline, "sandbox");
        async move { tokio::spawn(sandboxes.create(&ctx, ready(Ok::<_, &str>(7))).in_context(&ctx)).await }
    });
    assert_eq!(made.await.unwrap().unwrap().unwrap(), Ok(7));
}

#[tokio::test]
async fn health_checks_are_counted_by_outcome_and_leave_no_events() {
    let bench = Bench::new();
    let sandboxes = Provisioning::new(&bench.throughline, "sandbox");
    assert_eq!(sandboxes.health_check(ready(Ok::<_, &str>("pong"))).await, Ok("pong"));
    assert_eq!(sandboxes.health_check(ready(Err::<(), _>("refused"))).await, Err("refused"));

    let (begun, has_begun) = oneshot::channel();
    let hanging = tokio::spawn(sandboxes.health_check(hanging(begun)));
    has_begun.await.unwrap();
    hanging.abort();
    assert!(hanging.await.unwrap_err().is_cancelled());

    insta::assert_snapshot!(bench.series("resource"), @"
    resource_health_checks_total{kind=sandbox, outcome=cancelled} 1
    resource_health_checks_total{kind=sandbox, outcome=failed} 1
    resource_health_checks_total{kind=sandbox, outcome=success} 1
    ");
    assert_eq!(bench.events().await.len(), 0);
}
