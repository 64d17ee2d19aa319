//! Who may look, at what, and what that may do to the service.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use throughline_core::{
    BoxError, EventSink, Filter, MemoryFeed, MemoryStore, Page, Redaction, Throughline, TraceEvent,
};
use throughline_viewer::{Access, Auth, Viewer, ViewerError};

use crate::http::{Answer, Server, until};
use crate::story;
use crate::stubborn::Stubborn;

const TOKEN: &str = "a token of enough length";

/// All that a stage ever took.
const REGION: &str = "from=2000-01-01T00:00:00Z&to=2999-01-01T00:00:00Z&least_us=0&most_us=9000000000";

/// Every question, of a run that is there.
async fn questions(throughline: &Throughline) -> Vec<String> {
    let reader = throughline.reader().unwrap();
    let runs = reader.runs(&Filter::new(), &Page::first(1)).await.unwrap();
    let run = &runs.items[0];
    let id = run.trace_id;
    let events = reader.trace(id).await.unwrap();
    ["about", "runs", "counts", "running", "patterns", "library", "runs?q=loan", "runs?view=orphaned"]
        .map(str::to_owned)
        .into_iter()
        .chain(["runs?id=", "running?id="].map(|question| format!("{question}{id}")))
        .chain(["latency?type=stage:*".to_owned(), format!("latency/region?type=stage:*&{REGION}")])
        .chain([format!("runs/{id}"), format!("runs/{id}/search?q=a"), format!("runs/{id}/diff?with={id}")])
        .chain(events.iter().map(|event| format!("runs/{id}/spans/{}", event.span_id)))
        .collect()
}

#[tokio::test]
async fn an_address_that_others_reach_is_refused_without_authentication() {
    let throughline = story::service();
    let open = Viewer::of(&throughline).build().unwrap();
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let error = open.bind(address.parse().unwrap()).await.unwrap_err();
        assert!(matches!(error, ViewerError::NotLoopback { .. }), "{address}: {error}");
        assert!(error.to_string().contains(".auth(..)"), "{error}");
    }
    open.bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    // With it, any address of the machine may be listened on; this one is an address of none.
    let closed = Viewer::of(&throughline).auth(Auth::bearer(TOKEN)).build().unwrap();
    let error = closed.bind("192.0.2.1:0".parse().unwrap()).await.unwrap_err();
    assert!(matches!(error, ViewerError::Bind { .. }), "{error}");
}

#[tokio::test]
async fn what_was_logged_is_shown_to_those_alone_who_may_see_payloads() {
    let throughline = story::service();
    let id = story::refused_loan(&throughline, "loan-1").await;
    let folder = tempfile::tempdir().unwrap();
    story::log_of(&throughline, id, folder.path()).await;
    let question = format!("/api/runs/{id}/logs");
    for (access, status, logs) in
        [(Access::All, 200, true), (Access::WithoutPayloads, 403, false), (Access::Forbidden, 403, false)]
    {
        let viewer = Viewer::of(&throughline).auth(Auth::hook(move |_| access)).logs(folder.path());
        let server = Server::of(&viewer.build().unwrap()).await;
        let answer = server.get(&question).await;
        assert_eq!(answer.status, status, "{access:?}: {}", answer.text());
        assert_eq!(answer.text().contains("the registry answered"), logs, "{access:?}");
        assert!(!answer.text().contains("ada@"), "{}", answer.text());
        assert_eq!(server.get("/api/about").await.text().contains("\"logs\":true"), logs, "{access:?}");
    }
    // Who told it of no files, or of files that are not there, is told so.
    for (viewer, said) in [
        (Viewer::of(&throughline), "--logs"),
        (Viewer::of(&throughline).logs(folder.path().join("nowhere")), "can't be read"),
    ] {
        let server = Server::of(&viewer.build().unwrap()).await;
        let answer = server.get(&question).await;
        assert_eq!(answer.status, 404);
        assert!(answer.error().contains(said), "{}", answer.text());
    }
}

#[tokio::test]
async fn a_secret_that_can_be_guessed_and_a_service_without_a_store_are_refused() {
    let throughline = story::service();
    for auth in [Auth::bearer(""), Auth::bearer("short"), Auth::basic("ops", "admin")] {
        let error = Viewer::of(&throughline).auth(auth).build().unwrap_err();
        assert!(matches!(error, ViewerError::ShortSecret { .. }), "{error}");
    }
    let nowhere = Throughline::builder("nowhere").feed(MemoryFeed::new()).build().unwrap();
    let error = Viewer::of(&nowhere).build().unwrap_err();
    assert!(error.to_string().contains(".store(..)"), "{error}");
    let debug = format!("{:?}", Viewer::of(&throughline).auth(Auth::bearer(TOKEN)).build().unwrap());
    assert!(!debug.contains(TOKEN), "{debug}");
}

#[tokio::test]
async fn a_page_of_another_site_that_a_browser_is_made_to_ask_here_is_refused() {
    let throughline = story::service();
    story::refused_loan(&throughline, "loan-1").await;
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    for host in
        ["evil.example.org", "localhost.evil.example.org", "127.0.0.1.evil.example.org", "10.0.0.1", ""]
    {
        for path in ["/", "/api/runs"] {
            let answer = server.send("GET", path, &[("host", host)]).await;
            assert!(matches!(answer.status, 400 | 403), "{host}{path}: {}", answer.status);
            assert!(!answer.text().contains("loan-1"), "{host}");
        }
    }
    for host in ["localhost", "LOCALHOST:1234", "127.0.0.1", "[::1]:80", "localhost."] {
        assert_eq!(server.send("GET", "/api/runs", &[("host", host)]).await.status, 200, "{host}");
    }
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        assert_eq!(
            server.send("GET", "/api/runs", &[("sec-fetch-site", site)]).await.status,
            status,
            "{site}"
        );
        // A link of another site may lead to the page, which shows nothing by itself.
        assert_eq!(server.send("GET", "/ui", &[("sec-fetch-site", site)]).await.status, 200, "{site}");
    }
    let named = Viewer::of(&throughline).auth(Auth::bearer(TOKEN)).host("Ops.example.org").build().unwrap();
    let server = Server::of(&named).await;
    let authorized = ("authorization", &*format!("Bearer {TOKEN}"));
    for (host, status) in [("ops.example.org:8080", 200), ("192.0.2.1", 200), ("evil.example.org", 403)] {
        let answer = server.send("GET", "/api/runs", &[("host", host), authorized]).await;
        assert_eq!(answer.status, status, "{host}: {}", answer.text());
    }
}

#[tokio::test]
async fn without_authentication_who_is_not_known_to_be_on_this_machine_is_refused() {
    use tower::ServiceExt as _;
    let throughline = story::service();
    let viewer = Viewer::of(&throughline).build().unwrap();
    let ask = |peer: Option<&str>| {
        let mut request = axum::extract::Request::builder().uri("/api/runs").header("host", "localhost");
        if let Some(peer) = peer {
            let peer: std::net::SocketAddr = peer.parse().unwrap();
            request = request.extension(axum::extract::ConnectInfo(peer));
        }
        viewer.router().oneshot(request.body(axum::body::Body::empty()).unwrap())
    };
    for (peer, status) in [
        (Some("127.0.0.1:5"), 200),
        (Some("[::1]:5"), 200),
        (Some("[::ffff:127.0.0.1]:5"), 200),
        (Some("192.0.2.1:5"), 403),
        // A service that does not say who asks.
        (None, 403),
    ] {
        assert_eq!(ask(peer).await.unwrap().status().as_u16(), status, "{peer:?}");
    }
}

#[tokio::test]
async fn without_authentication_a_proxy_of_this_machine_is_answered_for_nobody() {
    let throughline = story::service();
    let open = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let closed = Server::of(&Viewer::of(&throughline).auth(Auth::bearer(TOKEN)).build().unwrap()).await;
    let token = format!("Bearer {TOKEN}");
    for header in [
        ("X-Forwarded-For", "192.0.2.1"),
        ("Forwarded", "for=192.0.2.1"),
        ("Via", "1.1 proxy"),
        ("X-Real-IP", "192.0.2.1"),
    ] {
        assert_eq!(open.send("GET", "/api/runs", &[header]).await.status, 403, "{header:?}");
        let authorized = [header, ("authorization", &*token)];
        assert_eq!(closed.send("GET", "/api/runs", &authorized).await.status, 200, "{header:?}");
    }
}

#[tokio::test]
async fn a_token_or_a_password_opens_and_anything_else_does_not() {
    let throughline = story::service();
    story::refused_loan(&throughline, "loan-1").await;
    let bearer = Server::of(&Viewer::of(&throughline).auth(Auth::bearer(TOKEN)).build().unwrap()).await;
    let basic = Auth::basic("ops", "a password of enough length");
    let basic = Server::of(&Viewer::of(&throughline).auth(basic).build().unwrap()).await;
    // `printf %s 'ops:a password of enough length' | base64`
    let good = "Basic b3BzOmEgcGFzc3dvcmQgb2YgZW5vdWdoIGxlbmd0aA==";
    for question in questions(&throughline).await {
        let path = format!("/api/{question}");
        for (server, scheme) in [(&bearer, "Bearer"), (&basic, "Basic")] {
            for wrong in [
                None,
                Some(""),
                Some("Bearer"),
                Some("Bearer a token of enough lengt"),
                Some("Basic b3BzOg=="),
            ] {
                let headers: Vec<_> = wrong.into_iter().map(|value| ("authorization", value)).collect();
                let answer = server.send("GET", &path, &headers).await;
                assert_eq!(answer.status, 401, "{path} {wrong:?}");
                assert!(answer.header("www-authenticate").unwrap().starts_with(scheme), "{path}");
                assert!(!answer.text().contains("loan-1"), "{path}");
            }
        }
        for scheme in ["Bearer", "bearer"] {
            let token = format!("{scheme} {TOKEN}");
            assert_eq!(bearer.send("GET", &path, &[("authorization", &token)]).await.status, 200, "{path}");
        }
        assert_eq!(basic.send("GET", &path, &[("authorization", good)]).await.status, 200, "{path}");
    }
    // The page itself shows nothing, and asks who it is for.
    assert_eq!(bearer.get("/").await.status, 200);
}

#[tokio::test]
async fn a_function_of_the_service_decides_request_by_request_how_much_is_shown() {
    let throughline = story::service();
    story::refused_loan(&throughline, "loan-1").await;
    let auth = Auth::hook(|request| match request.headers.get("x-role").map(|role| role.as_bytes()) {
        Some(b"ops") => Access::All,
        Some(b"support") => Access::WithoutPayloads,
        Some(b"bug") => panic!("the hook is broken"),
        _ => Access::Forbidden,
    });
    let server = Server::of(&Viewer::of(&throughline).auth(auth).build().unwrap()).await;
    let payloads = ["boat", "needle", "71500", "refuses the collateral", "incomes", "secured"];
    let mut seen = String::new();
    for question in questions(&throughline).await {
        seen.push_str(&as_role(&server, &question, "ops").await.text());
        let support = as_role(&server, &question, "support").await.text();
        for payload in payloads {
            assert!(!support.contains(payload), "{question} shows {payload}: {support}");
        }
        assert!(as_role(&server, &question, "nobody").await.error().contains("may not see"), "{question}");
    }
    for payload in payloads {
        assert!(seen.contains(payload), "{payload} is there to be hidden");
    }
    // A file has the payloads in it.
    let export = throughline.reader().unwrap().runs(&Filter::new(), &Page::first(1)).await.unwrap();
    let export = format!("runs/{}/export", export.items[0].trace_id);
    assert!(as_role(&server, &export, "ops").await.text().contains("71500"));
    let refused = as_role(&server, &export, "support").await;
    assert_eq!(refused.status, 403);
    assert!(refused.error().contains("has its payloads in it"), "{}", refused.text());
    // What may not be seen can't be tried out either.
    for (question, role, status) in [
        ("runs?attr=user=ada", "support", 403),
        ("runs?tag=of-acme", "support", 403),
        ("counts?tag=of-acme", "support", 403),
        ("runs?choice=secured", "support", 403),
        ("runs?tag=of-acme", "ops", 200),
        ("runs", "bug", 500),
        ("runs", "ops", 200),
    ] {
        assert_eq!(as_role(&server, question, role).await.status, status, "{question} {role}");
    }
}

#[tokio::test]
async fn a_second_token_shows_runs_without_their_payloads() {
    let throughline = story::service();
    story::refused_loan(&throughline, "loan-1").await;
    let auth = Auth::bearer(TOKEN).or(Auth::bearer("another token of support").without_payloads());
    assert_eq!(format!("{auth:?}"), "Auth::bearer or Auth::bearer");
    let viewer = Viewer::of(&throughline).auth(auth).build().unwrap();
    let server = Server::of(&viewer).await;
    for (token, status, payloads) in [
        (TOKEN, 200, true),
        ("another token of support", 200, false),
        ("another token of suppor", 401, false),
        ("", 401, false),
    ] {
        let mut seen = String::new();
        for question in questions(&throughline).await {
            let path = format!("/api/{question}");
            let answer = server.send("GET", &path, &[("authorization", &format!("Bearer {token}"))]).await;
            assert_eq!(answer.status, status, "{path} with `{token}`");
            seen.push_str(&answer.text());
        }
        assert_eq!(seen.contains("refuses the collateral"), payloads, "with `{token}`");
        assert_eq!(seen.contains("loan-1"), status == 200, "with `{token}`");
    }
    // Each of them has to be long enough, in whatever order they are named.
    let (long, short) = (Auth::bearer(TOKEN), Auth::bearer("short").without_payloads());
    for auth in [long.clone().or(short.clone()), short.or(long)] {
        let error = Viewer::of(&throughline).auth(auth).build().unwrap_err();
        assert!(matches!(error, ViewerError::ShortSecret { length: 5 }), "{error}");
    }
    // To be shown less by one rule takes nothing away from those whom another shows more.
    let hook = |access| Auth::hook(move |_| access);
    for (auth, status) in [
        (hook(Access::Forbidden).without_payloads(), 403),
        (hook(Access::All).without_payloads(), 403),
        (hook(Access::All).without_payloads().or(hook(Access::All)), 200),
        (hook(Access::Forbidden).or(hook(Access::All)), 200),
    ] {
        let server = Server::of(&Viewer::of(&throughline).auth(auth).build().unwrap()).await;
        assert_eq!(server.get("/api/runs?tag=of-acme").await.status, status);
    }
}

/// What somebody in a role is answered.
async fn as_role(server: &Server, question: &str, role: &str) -> Answer {
    server.send("GET", &format!("/api/{question}"), &[("x-role", role)]).await
}

#[tokio::test]
async fn why_a_destination_is_broken_is_told_to_those_alone_who_see_messages() {
    struct Panicking;
    impl EventSink for Panicking {
        fn name(&self) -> &str {
            "panicking"
        }
        fn on_event(&self, _: &Arc<TraceEvent>) {
            std::panic::resume_unwind(Box::new("no room for the loan of ada"));
        }
    }
    let store = MemoryStore::new();
    let throughline = Throughline::builder("loan-service").store(store).sink(Panicking).build().unwrap();
    story::granted_loan(&throughline, "loan-1").await;
    let auth = Auth::hook(|request| match request.headers.contains_key("x-ops") {
        true => Access::All,
        false => Access::WithoutPayloads,
    });
    let server = Server::of(&Viewer::of(&throughline).auth(auth).build().unwrap()).await;
    let all = server.send("GET", "/api/library", &[("x-ops", "1")]).await.text();
    assert!(all.contains("no room for the loan of ada"), "{all}");
    let less = server.get("/api/library").await.text();
    let failure = &server.get("/api/library").await.json()["delivery"]["destinations"][1]["last_failure"];
    assert_eq!(failure["reason"], "(not shown)");
    assert!(!less.contains("ada") && less.contains("\"broken\":\"(not shown)\""), "{less}");
}

#[tokio::test]
async fn what_others_wrote_unredacted_is_redacted_on_its_way_out() {
    let store = MemoryStore::new();
    let careless =
        Throughline::builder("careless").store(store.clone()).redaction(Redaction::off()).build().unwrap();
    let secret = "ada.lovelace@example.org";
    let run = careless.workflow("mail").key(secret).run(|ctx| async move {
        ctx.step("stage:send")
            .input(&serde_json::json!({ "to": secret, "password": "tulip-77" }))
            .attr("recipient", secret)
            .run(|_| async { Err::<(), BoxError>(format!("no such box: {secret}").into()) })
            .await?
    });
    run.await.unwrap().unwrap_err();
    let recorded =
        store.events().into_iter().map(|event| serde_json::to_string(&event).unwrap()).collect::<String>();
    assert!(recorded.contains(secret) && recorded.contains("tulip-77"), "the store has them");
    let server = Server::of(&Viewer::over(store.readers()).build().unwrap()).await;
    for question in questions(&careless).await {
        let answer = server.get(&format!("/api/{question}")).await;
        assert_eq!(answer.status, 200, "{question}: {}", answer.text());
        for text in [secret, "tulip-77"] {
            assert!(!answer.text().contains(text), "{question} shows {text}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn every_answer_keeps_the_pages_to_themselves() {
    let throughline = story::service();
    let server = Server::of(&Viewer::of(&throughline).build().unwrap()).await;
    let page = server.get("/").await;
    let script = page.text().split("src=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    for (method, path, status) in [
        ("GET", "/".to_owned(), 200),
        ("GET", format!("/{script}"), 200),
        ("GET", "/api/runs".to_owned(), 200),
        ("GET", "/api/runs?limit=x".to_owned(), 400),
        ("GET", "/nowhere".to_owned(), 404),
        ("GET", "/assets/../Cargo.toml".to_owned(), 404),
        ("POST", "/api/runs".to_owned(), 405),
        ("DELETE", "/".to_owned(), 405),
    ] {
        let answer = server.send(method, &path, &[]).await;
        assert_eq!(answer.status, status, "{method} {path}");
        let policy = answer.header("content-security-policy").unwrap();
        for part in ["default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'", "script-src 'self'"] {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"));
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(answer.header("access-control-allow-origin"), None);
    }
    let api = server.get("/api/runs").await;
    assert_eq!(api.header("cache-control"), Some("no-store"));
    let script = server.send("GET", &format!("/{script}"), &[("accept-encoding", "br, gzip;q=0.5")]).await;
    assert_eq!(script.header("content-encoding"), Some("gzip"));
    assert!(script.header("cache-control").unwrap().contains("immutable"));
}

#[tokio::test]
async fn the_router_is_found_where_it_is_nested() {
    let throughline = story::service();
    let viewer = Viewer::of(&throughline).build().unwrap();
    let nested = Server::router(Router::new().nest("/ops/throughline", viewer.router())).await;
    let service = Server::router(Router::new().nest_service("/ops/throughline", viewer.router())).await;
    let alone = Server::of(&viewer).await;
    let moved = nested.get("/ops/throughline").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("./throughline/ui")));
    // Where it is nested with a slash at the end, there alone; as a service, with and without.
    let slashed = Server::router(Router::new().nest("/ops/throughline/", viewer.router())).await;
    assert_eq!(nested.get("/ops/throughline/").await.status, 404, "axum asks a nested router for it no more");
    let moved = service.get("/ops/throughline").await;
    assert_eq!((moved.status, moved.header("location")), (308, Some("./throughline/ui")));
    for (server, page) in [
        (&nested, "/ops/throughline/ui"),
        (&slashed, "/ops/throughline/"),
        (&slashed, "/ops/throughline/ui"),
        (&service, "/ops/throughline/ui"),
        (&service, "/ops/throughline/"),
        (&alone, "/ui"),
        (&alone, "/"),
    ] {
        let folder = page.rsplit_once('/').unwrap().0;
        let answer = server.send("GET", page, &[("accept-encoding", "gzip")]).await;
        let mut bytes = answer.body.len();
        let plain = server.get(page).await;
        assert_eq!((answer.status, plain.status), (200, 200), "{page}");
        let text = plain.text();
        let files: Vec<_> = text.split('"').filter(|text| text.starts_with("assets/")).collect();
        assert_eq!(files.len(), 3, "{text}");
        for file in files {
            let answer =
                server.send("GET", &format!("{folder}/{file}"), &[("accept-encoding", "gzip")]).await;
            assert_eq!(answer.status, 200, "{folder}/{file}");
            bytes += answer.body.len();
        }
        assert!((10_000..=100_000).contains(&bytes), "the first page is {bytes} bytes over the wire");
        assert_eq!(server.get(&format!("{folder}/api/runs")).await.status, 200);
    }
}

#[tokio::test]
async fn a_store_that_is_silent_down_or_panics_is_answered_for() {
    for (store, status, part) in [
        (Stubborn::Silent, 504, "did not answer within 0.2 s"),
        (Stubborn::Down, 503, "the disk is gone"),
        (Stubborn::Panicking, 500, "the viewer panicked"),
    ] {
        // There are log files, whose lines are looked for once the store has said when the run was.
        let folder = tempfile::tempdir().unwrap();
        let viewer = Viewer::over(store.readers()).logs(folder.path()).timeout(Duration::from_millis(200));
        let viewer = viewer.build().unwrap();
        // Nested in a service, which answers its own requests meanwhile.
        let host = Router::new().route("/own", get(|| async { "as ever" }));
        let host = Server::router(host.nest("/ops", viewer.router())).await;
        let server = Server::of(&viewer).await;
        let run = "runs/0123456789abcdef0123456789abcdef";
        let of_run = ["", "/spans/0123456789abcdef", "/search?q=a", "/diff", "/logs", "/export"]
            .map(|part| format!("{run}{part}"));
        let of_all = ["runs", "runs?view=stuck", "counts", "running", "patterns"]
            .map(str::to_owned)
            .into_iter()
            .chain(["latency?type=a".to_owned(), format!("latency/region?type=a&{REGION}")]);
        for question in of_all.chain(of_run) {
            let answer = server.get(&format!("/api/{question}")).await;
            let nested = format!("/ops/api/{question}");
            assert_eq!(answer.status, status, "{store:?} {question}: {}", answer.text());
            assert!(answer.error().contains(part), "{store:?} {question}: {}", answer.text());
            assert!(!answer.text().contains("tulip"), "{}", answer.text());
            let (nested, own) = tokio::join!(host.get(&nested), host.get("/own"));
            assert_eq!((nested.status, own.status, &*own.text()), (status, 200, "as ever"), "{question}");
        }
        assert_eq!(server.get("/api/about").await.status, 200, "the viewer is still there");
    }
}

#[tokio::test]
async fn more_requests_than_may_be_answered_at_once_are_asked_to_come_back() {
    let viewer = Viewer::over(Stubborn::Silent.readers()).max_requests(2).build().unwrap();
    let server = Server::of(&viewer).await;
    let waiting = [
        server.open("GET", "/api/runs", &[], "close").await,
        server.open("GET", "/api/runs", &[], "close").await,
    ];
    // Both are on their way: the first that is turned away shows that they are at work.
    let turned_away = until(async || server.get("/api/about").await, |answer| answer.status != 200).await;
    assert_eq!((turned_away.status, turned_away.header("retry-after")), (503, Some("1")));
    drop(waiting);
    until(async || server.get("/api/about").await, |answer| answer.status == 200).await;
}
