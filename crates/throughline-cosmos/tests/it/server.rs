//! Microsoft's in-memory emulator, as a server on loopback, with faults between it and its clients.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use azure_core::http::{Method, Request, Url};
use azure_data_cosmos_driver::in_memory_emulator::{
    ConsistencyLevel, InMemoryEmulatorHttpClient, VirtualAccountConfig, VirtualRegion,
};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use throughline_cosmos::CosmosStore;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// A key, as an account has: any Base64 will do.
pub(crate) const KEY: &str = "c2VjcmV0LWtleS1vZi1hLXRlc3Q=";

/// What becomes of a request.
pub(crate) enum Fate {
    /// It is answered.
    Answered,
    /// It is done, and the answer is lost.
    AnswerLost,
    /// It never arrives.
    Lost,
    /// It is answered once the other end of this is dropped.
    Held(oneshot::Receiver<()>),
    /// It is refused with this status, and these milliseconds to wait if there are any.
    Refused(u16, Option<u64>),
    /// It is refused with this status and sub-status.
    RefusedAs(u16, u16),
    /// It is done, and answered with this status.
    DoneBut(u16),
}

/// A request, as far as a test decides by it.
pub(crate) struct Seen<'a> {
    pub(crate) method: &'a str,
    pub(crate) is_batch: bool,
    pub(crate) authorization: &'a str,
    pub(crate) body: &'a [u8],
    /// Whether it asks for another page than the first.
    pub(crate) is_next_page: bool,
}

type Judge = Box<dyn FnMut(&Seen<'_>) -> Fate + Send>;

struct Shared {
    emulator: InMemoryEmulatorHttpClient,
    judge: Mutex<Option<Judge>>,
    page: Mutex<Option<usize>>,
}

/// A server, which ends with this.
pub(crate) struct Server {
    /// Where its clients find it.
    address: SocketAddr,
    shared: Arc<Shared>,
    runtime: Option<Runtime>,
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::behind(|port| port)
    }

    /// A server that sends its clients through another port: this is told the port of the server, and answers the other one.
    pub(crate) fn behind(entrance: impl FnOnce(u16) -> u16) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut address = listener.local_addr().unwrap();
        address.set_port(entrance(address.port()));
        let region = VirtualRegion::new("East US", Url::parse(&format!("http://{address}")).unwrap());
        let account =
            VirtualAccountConfig::new(vec![region]).unwrap().with_consistency(ConsistencyLevel::Session);
        let shared = Arc::new(Shared {
            emulator: InMemoryEmulatorHttpClient::new(account),
            judge: Mutex::default(),
            page: Mutex::default(),
        });
        let accepting = Arc::clone(&shared);
        runtime
            .spawn(async move { accept(TcpListener::from_std(listener).unwrap(), address, accepting).await });
        Self { address, shared, runtime: Some(runtime) }
    }

    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn store(&self) -> CosmosStore {
        CosmosStore::new(self.endpoint(), KEY, "audit")
    }

    /// Decides what becomes of each request from now on.
    pub(crate) fn judge(&self, judge: impl FnMut(&Seen<'_>) -> Fate + Send + 'static) {
        *self.shared.judge.lock().unwrap() = Some(Box::new(judge));
    }

    /// Gives at most so many documents in a page from now on, as a service does whose pages are full.
    pub(crate) fn short_pages(&self, items: usize) {
        *self.shared.page.lock().unwrap() = Some(items);
    }

    /// Answers every request again.
    pub(crate) fn recover(&self) {
        *self.shared.judge.lock().unwrap() = None;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

async fn accept(listener: TcpListener, address: SocketAddr, shared: Arc<Shared>) {
    while let Ok((connection, _)) = listener.accept().await {
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let service = service_fn(move |request| answer(request, address, Arc::clone(&shared)));
            // An answer that is withheld ends the connection, and that is all there is to it.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(connection), service)
                .await;
        });
    }
}

/// The connection is cut.
type Cut = Box<dyn std::error::Error + Send + Sync>;

async fn answer(
    request: hyper::Request<Incoming>,
    address: SocketAddr,
    shared: Arc<Shared>,
) -> Result<hyper::Response<Full<Bytes>>, Cut> {
    let (head, body) = request.into_parts();
    let body = body.collect().await?.to_bytes();
    let header = |name: &str| {
        head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let fate = match shared.judge.lock().unwrap().as_mut() {
        Some(judge) => judge(&Seen {
            method: head.method.as_str(),
            authorization: &header("authorization"),
            body: &body,
            is_batch: header("x-ms-cosmos-is-batch-request").eq_ignore_ascii_case("true"),
            is_next_page: !header("x-ms-continuation").is_empty(),
        }),
        None => Fate::Answered,
    };
    let (mut is_answered, mut answered_otherwise) = (true, None);
    match fate {
        Fate::Lost => return Err("lost".into()),
        Fate::Held(released) => {
            let _ = released.await;
        }
        Fate::Refused(status, wait) => {
            return refusal(status, wait.map(|wait| ("x-ms-retry-after-ms", wait)));
        }
        Fate::RefusedAs(status, kind) => return refusal(status, Some(("x-ms-substatus", kind.into()))),
        Fate::AnswerLost => is_answered = false,
        Fate::DoneBut(status) => answered_otherwise = Some(status),
        Fate::Answered => {}
    }
    let url = Url::parse(&format!("http://{address}{}", head.uri))?;
    let mut asked = Request::new(url, method(&head.method)?);
    for (name, value) in &head.headers {
        asked.headers_mut().insert(name.as_str().to_owned(), value.to_str()?.to_owned());
    }
    if let Some(items) = *shared.page.lock().unwrap() {
        asked.headers_mut().insert("x-ms-max-item-count", items.to_string());
    }
    asked.set_body(body);
    let answered = shared.emulator.execute_request(&asked).await?.try_into_raw_response().await?;
    if !is_answered {
        return Err("the answer is lost".into());
    }
    if let Some(status) = answered_otherwise {
        return refusal(status, None);
    }
    let mut response = hyper::Response::builder().status(u16::from(answered.status()));
    for (name, value) in answered.headers().iter() {
        response = response.header(name.as_str(), value.as_str());
    }
    let body: &[u8] = answered.body().as_ref();
    Ok(response.body(Full::new(Bytes::copy_from_slice(body)))?)
}

fn refusal(status: u16, header: Option<(&str, u64)>) -> Result<hyper::Response<Full<Bytes>>, Cut> {
    let mut response = hyper::Response::builder().status(status).header("x-ms-request-charge", "0.38");
    if let Some((name, value)) = header {
        response = response.header(name, value.to_string());
    }
    Ok(response.body(Full::default())?)
}

fn method(method: &hyper::Method) -> Result<Method, Cut> {
    Ok(match method.as_str() {
        "GET" => Method::Get,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "HEAD" => Method::Head,
        "PATCH" => Method::Patch,
        other => return Err(format!("no such method: {other}").into()),
    })
}
