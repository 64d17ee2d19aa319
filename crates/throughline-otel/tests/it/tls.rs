//! Collectors that speak TLS, with a certificate of an authority of one's own.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use throughline_core::{MemoryStore, Throughline};
use throughline_otel::{OpenSpans, Otlp, Protocol};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::receiver::{Over, Receiver, is_there};

/// Takes one batch over TLS, and answers that it did.
async fn take_one(listener: TcpListener, acceptor: TlsAcceptor) -> std::io::Result<String> {
    let (socket, _) = listener.accept().await?;
    let mut requests = BufReader::new(acceptor.accept(socket).await?);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        requests.read_line(&mut line).await?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    requests.read_exact(&mut vec![0; length]).await?;
    requests.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await?;
    requests.flush().await?;
    Ok(head)
}

/// How long an export may take: it is over early where it succeeds.
fn patience(is_trusted: bool) -> Duration {
    Duration::from_secs(if is_trusted { 30 } else { 5 })
}

/// Exports a run to a collector with a certificate, which is trusted or not; answers how many events were delivered, and what the
/// collector was sent.
async fn export(is_trusted: bool) -> (u64, std::io::Result<String>) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let server = tokio::spawn(take_one(listener, TlsAcceptor::from(Arc::new(config))));
    let mut otlp = Otlp::new().endpoint(endpoint).open_spans(OpenSpans::Hidden);
    if is_trusted {
        otlp = otlp.certificate(certified.cert.pem());
    }
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    throughline.workflow("w").run_infallible(|_| async {}).await.unwrap();
    let report = throughline.shutdown(patience(is_trusted)).await;
    (report.destinations[1].delivered, server.await.unwrap())
}

#[tokio::test]
async fn a_collector_is_trusted_by_the_certificate_that_is_given() {
    let (delivered, head) = export(true).await;
    assert_eq!(delivered, 2);
    assert!(head.unwrap().starts_with("POST /v1/traces HTTP/1.1"));
}

#[tokio::test]
async fn a_collector_that_nobody_vouches_for_gets_nothing() {
    let (delivered, head) = export(false).await;
    assert_eq!(delivered, 0);
    assert!(head.is_err(), "{head:?}");
}

/// The same over gRPC, to the receiver that others wrote.
async fn export_over_grpc(is_trusted: bool) -> (u64, Receiver) {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (key, certificate) = (folder.path().join("key.pem"), folder.path().join("certificate.pem"));
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    let receiver = Receiver::start_with(Over::Grpc, &[&key, &certificate]);
    let mut otlp =
        Otlp::new().protocol(Protocol::Grpc).endpoint(receiver.endpoint()).open_spans(OpenSpans::Hidden);
    if is_trusted {
        otlp = otlp.certificate(certified.cert.pem());
    }
    let throughline = Throughline::builder("loans").store(MemoryStore::new()).sink(otlp).build().unwrap();
    throughline.workflow("w").run_infallible(|_| async {}).await.unwrap();
    let report = throughline.shutdown(patience(is_trusted)).await;
    (report.destinations[1].delivered, receiver)
}

#[tokio::test]
async fn a_collector_over_grpc_is_trusted_by_the_certificate_that_is_given() {
    if !is_there() {
        return;
    }
    let (delivered, receiver) = export_over_grpc(true).await;
    assert_eq!((delivered, receiver.spans(1).len()), (2, 1));
}

#[tokio::test]
async fn a_collector_over_grpc_that_nobody_vouches_for_gets_nothing() {
    if !is_there() {
        return;
    }
    let (delivered, receiver) = export_over_grpc(false).await;
    assert_eq!((delivered, receiver.once(|_| true).len()), (0, 0));
}
