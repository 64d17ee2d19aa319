//! Requests over the network, to a service in another process.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::duel::{nanos, quantile};
use crate::load::Load;

/// What every answer of the services ends with.
const ANSWER: &[u8] = b"granted";

/// How many requests there are.
#[derive(Debug, Clone, Copy)]
pub enum Pace {
    /// As many as are answered: each connection sends the next one at once.
    Closed,
    /// So many a second, whether the ones before are answered or not: those that find no free connection wait for one, and
    /// that counts.
    Open(f64),
}

/// Visits a service for a while with so many connections.
///
/// # Errors
/// If a request isn't answered as it should.
pub async fn visit(
    address: SocketAddr,
    request: &str,
    connections: usize,
    pace: Pace,
    time: Duration,
) -> anyhow::Result<Load> {
    let text = format!("{request} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 0\r\n\r\n");
    let (sent, latencies) = (Rc::new(Cell::new(0_u32)), Rc::new(RefCell::new(Vec::new())));
    let began = Instant::now();
    let visitor = async |_| {
        let mut stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let mut answer = Vec::with_capacity(1024);
        loop {
            let due = match pace {
                Pace::Closed => Duration::ZERO,
                Pace::Open(per_second) => {
                    Duration::try_from_secs_f64(1.0 / per_second)?.saturating_mul(sent.get())
                }
            };
            sent.set(sent.get() + 1);
            if due.max(began.elapsed()) >= time {
                return anyhow::Ok(());
            }
            let mut asked = Instant::now();
            if let Pace::Open(_) = pace {
                match (began + due).checked_duration_since(asked) {
                    // The timer's own delay is not the service's.
                    Some(early) => {
                        tokio::time::sleep(early).await;
                        asked = Instant::now();
                    }
                    None => asked = began + due,
                }
            }
            stream.write_all(text.as_bytes()).await?;
            answer.clear();
            while !answer.ends_with(ANSWER) {
                let read = stream.read_buf(&mut answer).await?;
                ensure!(read > 0, "answered with {}", String::from_utf8_lossy(&answer));
            }
            latencies.borrow_mut().push(nanos(asked.elapsed()));
        }
    };
    try_join_all((0..connections).map(visitor)).await.context(request.to_owned())?;
    let (latencies, took) = (latencies.take(), began.elapsed());
    let per_second = latencies.len() as f64 / took.as_secs_f64();
    Ok(Load { per_second, p50: quantile(&latencies, 0.5), p99: quantile(&latencies, 0.99) })
}
