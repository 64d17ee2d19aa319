//! Every way to say where the server is, and who we are.

use throughline_model::{FeedConfig as _, Instance, WatchRequest};
use throughline_redis::RedisFeed;

use crate::server::{Server, is_there};
use crate::watch::{Ends, OWN, event, expect, runtime};

/// Publishes and watches.
async fn prove(feed: &RedisFeed) {
    let ends = Ends::open(feed).await;
    let stream = feed.open_stream().await.unwrap().unwrap();
    let mut all = stream.watch(WatchRequest::new()).await.unwrap();
    let events: Vec<_> = (0..3).map(|n| event("proof", OWN, n)).collect();
    let mut run = ends.watch(WatchRequest::new().trace(events[0].trace_id)).await;
    ends.publish(&events.iter().collect::<Vec<_>>()).await;
    let mut first = None;
    for stream in [&mut all, &mut run] {
        for event in &events {
            let cursor = expect(stream, event).await;
            first.get_or_insert(cursor);
        }
    }
    let mut resumed = ends.watch(WatchRequest::new().after(first.unwrap())).await;
    expect(&mut resumed, &events[1]).await;
    assert_eq!(feed.open_runs(10).await.unwrap(), []);
}

#[test]
fn a_unix_socket_is_an_address() {
    if !is_there() {
        return;
    }
    let server = Server::start();
    let url = format!("redis+unix://{}?db=2", server.socket().display());
    runtime().block_on(prove(&RedisFeed::new(url)));
    assert_eq!(keys(&server, "", 2), 3);
}

/// How many keys a database has.
fn keys(server: &Server, user: &str, database: u8) -> i64 {
    let client =
        redis::Client::open(format!("redis://{user}127.0.0.1:{}/{database}", server.port())).unwrap();
    redis::cmd("DBSIZE").query(&mut client.get_connection().unwrap()).unwrap()
}

#[test]
fn a_database_has_a_number_and_a_password_may_have_any_character() {
    if !is_there() {
        return;
    }
    let server = Server::start_with(&["--requirepass", "p@ss:/wörd"]);
    let user = ":p%40ss%3A%2Fw%C3%B6rd@";
    for protocol in ["resp2", "resp3"] {
        let url = format!("redis://{user}127.0.0.1:{}/3?protocol={protocol}", server.port());
        runtime().block_on(prove(&RedisFeed::new(url).prefix(protocol)));
    }
    assert_eq!((keys(&server, user, 0), keys(&server, user, 3)), (0, 6));
}

/// What docs/guide/watching-live.md says that a user must be allowed.
pub(crate) const PUBLISHER: &str =
    "+eval +hmget +hincrby +hset +xadd +del +pexpire +zadd +zrem +zremrangebyrank +xrevrange";
pub(crate) const WATCHER: &str = "+hmget +xrevrange +xread +xrange +xinfo|stream +zrevrange";

#[test]
fn a_user_needs_no_more_rights_than_the_guide_lists() {
    if !is_there() {
        return;
    }
    let guide = include_str!("../../../../docs/guide/watching-live.md");
    let server = Server::start();
    for (user, rights) in [("publisher", PUBLISHER), ("watcher", WATCHER)] {
        assert!(guide.contains(rights), "the guide has the rights of a {user}");
        let set = format!("ACL SETUSER {user} on >secret ~{{throughline}}:* {rights}");
        server.command(&set.split(' ').collect::<Vec<_>>());
    }
    let url = |user: &str| format!("redis://{user}:secret@127.0.0.1:{}/", server.port());
    runtime().block_on(async {
        let publisher = RedisFeed::new(url("publisher"));
        let feed = publisher.open(Instance::new(OWN, "test")).await.unwrap();
        let watcher = RedisFeed::new(url("watcher"));
        let stream = watcher.open_stream().await.unwrap().unwrap();
        let events: Vec<_> = (0..3).map(|n| std::sync::Arc::new(event("rights", OWN, n))).collect();
        let mut all = stream.watch(WatchRequest::new()).await.unwrap();
        let mut run = stream.watch(WatchRequest::new().trace(events[0].trace_id)).await.unwrap();
        feed.publish(&events).await.unwrap();
        for stream in [&mut all, &mut run] {
            for event in &events {
                expect(stream, event).await;
            }
        }
        assert_eq!(watcher.open_runs(1).await.unwrap(), []);
        // And what it is not allowed is said with where to look.
        let feed = watcher.open(Instance::new(OWN, "test")).await.unwrap();
        let error = feed.publish(&events).await.unwrap_err().to_string();
        assert!(
            error.contains("NOPERM") && error.contains("watching-live") && !error.contains("secret"),
            "{error}"
        );
    });
}

#[cfg(feature = "cluster")]
mod cluster {
    use super::*;
    use crate::watch::PATIENCE;

    const OPTIONS: &[&str] = &["--save", "", "--appendonly", "no", "--cluster-enabled", "yes"];

    #[test]
    fn a_cluster_of_three_nodes_is_a_feed() {
        if !is_there() {
            return;
        }
        let nodes = [0, 1, 2].map(|_| Server::start_with(OPTIONS));
        for (node, slots) in nodes.iter().zip([("0", "5460"), ("5461", "10922"), ("10923", "16383")]) {
            node.command(&["CLUSTER", "ADDSLOTSRANGE", slots.0, slots.1]);
            node.command(&["CLUSTER", "MEET", "127.0.0.1", &nodes[0].port().to_string()]);
        }
        runtime().block_on(async {
            let is_formed = |node: &Server| match node.command(&["CLUSTER", "INFO"]) {
                redis::Value::BulkString(info) => {
                    let info = String::from_utf8(info).unwrap();
                    info.contains("cluster_state:ok") && info.contains("cluster_known_nodes:3")
                }
                other => panic!("{other:?}"),
            };
            let formed = async {
                while !nodes.iter().all(is_formed) {
                    tokio::task::yield_now().await;
                }
            };
            tokio::time::timeout(PATIENCE, formed).await.expect("the nodes find each other");
            // In slots of different nodes, whichever node is asked first.
            for (node, prefix) in nodes.iter().zip(["throughline", "a", "b", "c"]) {
                prove(&RedisFeed::cluster([node.url()]).prefix(prefix)).await;
            }
        });
    }
}

#[cfg(feature = "tls")]
mod tls {
    use super::*;

    #[test]
    fn a_connection_is_encrypted_and_the_certificate_is_checked() {
        if !is_there() {
            return;
        }
        let authority = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, pem: String| {
            let path = folder.path().join(name);
            std::fs::write(&path, pem).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let certificate = write("certificate.pem", authority.cert.pem());
        let key = write("key.pem", authority.signing_key.serialize_pem());
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let _server = Server::start_with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            &certificate,
            "--tls-key-file",
            &key,
            "--tls-ca-cert-file",
            &certificate,
            "--tls-auth-clients",
            "no",
        ]);
        let url = format!("rediss://127.0.0.1:{port}/");
        runtime().block_on(async {
            prove(&RedisFeed::new(&url).root_certificates(authority.cert.pem())).await;
            let stranger = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
            let opened = RedisFeed::new(&url).root_certificates(stranger.cert.pem()).open_stream().await;
            let error = opened.map(drop).unwrap_err().to_string();
            assert!(error.contains("certificate"), "{error}");
        });
    }
}
