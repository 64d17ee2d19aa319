//! How checks are run: side by side, each once at a time, with deadlines, whatever becomes of them.

use super::*;

#[tokio::test]
async fn a_check_that_hangs_or_panics_is_named_and_the_others_are_heard() {
    let hangs = Check::new("hangs", std::future::pending::<Result<(), Infallible>>);
    let panics = Check::new("panics", || async {
        assert!(std::env::args().count() == 0, "the password is hunter2, password=hunter2");
        Ok::<_, Infallible>(())
    });
    let panics_at_once = Check::new("panics-at-once", || {
        assert!(std::env::args().count() == 0, "no future at all");
        std::future::ready(Ok::<_, Infallible>(()))
    });
    let (well, _, _) = switch("well");
    // To print where a test panicked can take seconds.
    let [panics, panics_at_once, well] =
        [panics, panics_at_once, well].map(|check| check.timeout(60 * SECOND));
    let checks = [hangs.timeout(Duration::from_millis(40)), panics, panics_at_once, well];
    let url = serve(&health(checks).details(Details::shown()).build().unwrap()).await;
    let mut seen = Vec::new();
    for _ in 0..2 {
        let (status, body) = probe(&url, "/readyz").await;
        assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(body["failing"], json!(["hangs", "panics", "panics-at-once"]));
        assert_eq!(body["checks"][3]["status"], "healthy");
        let errors: Vec<_> = (0..3).map(|at| body["checks"][at]["error"].as_str().unwrap()).collect();
        seen.push(errors.join("\n"));
        assert_eq!(probe(&url, "/livez").await.0, StatusCode::OK);
    }
    insta::assert_snapshot!(seen[0], @"
    no answer within 40ms
    it panicked: the password is [redacted], password=[redacted]
    it panicked: no future at all
    ");
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn a_hundred_probes_at_once_run_a_check_once() {
    let (check, _, asked) = switch("postgres");
    let url = serve(&health([check.keep_for(60 * SECOND)]).build().unwrap()).await;
    let answers = join_all((0..100).map(|_| probe(&url, "/readyz"))).await;
    assert!(answers.iter().all(|(status, _)| *status == StatusCode::OK));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn probes_that_find_no_recent_result_share_the_run_in_flight() {
    let (check, _, gate, asked) = gated("postgres");
    let health = health([check]).build().unwrap();
    let probes = join_all((0..100).map(|_| health.report(Probe::Ready)));
    // Polled after the probes: by then all of them wait.
    let (reports, ()) = tokio::join!(probes, async { gate.notify_one() });
    assert!(reports.iter().all(|report| report.status == HealthStatus::Healthy));
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    gate.notify_one();
    health.report(Probe::Ready).await;
    assert_eq!(asked.load(Ordering::SeqCst), 2, "nothing is kept for longer than was said");
}

/// Tells when the future that holds it is dropped.
struct TellWhenDropped(Arc<Notify>);

impl Drop for TellWhenDropped {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_probe_that_hangs_up_neither_cancels_the_run_in_flight_nor_loses_it() {
    let (check, begun, gate, asked) = gated("postgres");
    let health = health([check.keep_for(60 * SECOND)]).build().unwrap();
    let gone = Arc::new(Notify::new());
    let tell = Arc::clone(&gone);
    let app: Router = health.router().layer(from_fn(move |request: axum::extract::Request, next: Next| {
        let guard = TellWhenDropped(Arc::clone(&tell));
        async move {
            let answer = next.run(request).await;
            drop(guard);
            answer
        }
    }));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, app).await });

    let mut first = TcpStream::connect(address).await.unwrap();
    first.write_all(b"GET /readyz HTTP/1.1\r\nhost: kubelet\r\n\r\n").await.unwrap();
    begun.notified().await;
    drop(first);
    gone.notified().await;
    let url = format!("http://{address}");
    // The run may complete before the second probe comes or after: it is the same one.
    let (second, ()) = tokio::join!(probe(&url, "/readyz"), async { gate.notify_one() });
    assert_eq!((second.0, asked.load(Ordering::SeqCst)), (StatusCode::OK, 1));
}

#[test]
fn a_runtime_that_shuts_down_takes_its_run_with_it_and_the_next_starts_another() {
    let (check, begun, gate, asked) = gated("postgres");
    let health = health([check]).build().unwrap();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let (first, second) = (runtime(), runtime());
    first.block_on(async {
        tokio::select! {
            _ = health.report(Probe::Ready) => {}
            () = begun.notified() => {}
        }
    });
    drop(first);
    gate.notify_one();
    let report = second.block_on(health.report(Probe::Ready));
    assert_eq!((report.status, asked.load(Ordering::SeqCst)), (HealthStatus::Healthy, 2));
}

#[test]
fn without_a_runtime_checks_fail_and_say_so() {
    let (check, _, asked) = switch("postgres");
    let health = health([check]).build().unwrap();
    let error = |report: HealthReport| report.failing().next().unwrap().error.clone().unwrap();
    let nowhere = futures_util::FutureExt::now_or_never(health.report(Probe::Ready)).unwrap();
    assert_eq!(error(nowhere), "checks run on a Tokio runtime, and this thread has none");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

/// Asking such a runtime for a timer panics, and with `panic = "abort"` that is the end of the process.
#[test]
fn on_a_runtime_without_timers_checks_have_their_deadlines_too_and_nothing_panics() {
    let panics = Arc::new(AtomicUsize::new(0));
    let (count, here) = (Arc::clone(&panics), std::thread::current().id());
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        count.fetch_add(usize::from(std::thread::current().id() == here), Ordering::SeqCst);
        before(panic);
    }));
    let (check, ..) = switch("postgres");
    let hanging = Check::new("hanging", std::future::pending::<Result<(), Infallible>>);
    let health = health([check, hanging.timeout(Duration::from_millis(20))]).build().unwrap();
    let timeless = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let report = timeless.block_on(health.report(Probe::Ready));
    let failing: Vec<_> =
        report.failing().map(|check| (check.name.as_str(), check.error.as_deref())).collect();
    assert_eq!(failing, [("hanging", Some("no answer within 20ms"))]);
    assert_eq!(panics.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_check_may_have_a_timeout_of_any_length() {
    for timeout in [60 * SECOND, Duration::MAX.saturating_sub(SECOND), Duration::MAX] {
        let (check, ..) = switch("postgres");
        let health = health([check.timeout(timeout)]).build().unwrap();
        let (one, other) = tokio::join!(health.report(Probe::Ready), health.report(Probe::Ready));
        assert_eq!((one.failing().count(), other.failing().count()), (0, 0), "{timeout:?}");
    }
}

#[tokio::test]
async fn checks_run_concurrently() {
    let both = Arc::new(Barrier::new(2));
    let meeting = |name: &'static str| {
        let both = Arc::clone(&both);
        let meet = move || {
            let both = Arc::clone(&both);
            async move {
                both.wait().await;
                Ok::<_, Infallible>(())
            }
        };
        Check::new(name, meet).timeout(60 * SECOND)
    };
    let report = health([meeting("one"), meeting("other")]).build().unwrap().report(Probe::Ready).await;
    assert_eq!(report.status, HealthStatus::Healthy);
}

#[tokio::test]
async fn a_blocking_check_that_is_not_back_is_not_started_again() {
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let (wait, asked) = (std::sync::Mutex::new(wait), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&asked);
    let check = Check::blocking("nfs", move || {
        count.fetch_add(1, Ordering::SeqCst);
        wait.lock().unwrap().recv()
    });
    let check = check.timeout(Duration::from_millis(30)).keep_for(Duration::ZERO);
    let health = health([check]).build().unwrap();
    let mut errors = Vec::new();
    for _ in 0..3 {
        let report = health.report(Probe::Ready).await;
        errors.push(report.failing().next().unwrap().error.clone().unwrap());
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    insta::assert_snapshot!(errors.join("\n"), @"
    no answer within 30ms
    no answer within 30ms, and it is still running
    no answer within 30ms, and it is still running
    ");
    for _ in 0..2 {
        release.send(()).unwrap();
    }
    while health.report(Probe::Ready).await.status != HealthStatus::Healthy {
        tokio::task::yield_now().await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 2);
}
