//! A traced step that is stored in memory and exported over OTLP, beside the same span of plain OpenTelemetry.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::ensure;
use throughline_core::{MemoryStore, Throughline};
use throughline_otel::Otlp;

use super::Bench;
use crate::duel::{by_turns, nanos_each};
use crate::ours;
use crate::peers::otel;
use crate::report::{Line, Target, time};

pub(super) const NAME: &str = "export";

const STEPS: usize = 100;
const RUNS: usize = 50;
/// Longer than anything here takes.
const SOON: Duration = Duration::from_secs(60);

pub(super) fn measure(bench: &mut Bench) -> anyhow::Result<Vec<Line>> {
    let (collector, runtime) = (collector()?, &bench.single);
    let stack = otel::Otel::start();
    let [ours, otel] = by_turns(
        NAME,
        21,
        [
            Box::new(|| {
                let otlp = Otlp::new().endpoint(format!("http://{collector}")).capacity(1 << 18);
                let otlp = otlp.delay(Duration::from_millis(100));
                let throughline =
                    Throughline::builder("bench").store(MemoryStore::new()).sink(otlp).build()?;
                let nanos = nanos_each(STEPS * RUNS, || {
                    runtime.block_on(async {
                        for _ in 0..RUNS {
                            ours::run_of(&throughline, STEPS).await?;
                        }
                        Ok(())
                    })
                });
                let report = runtime.block_on(throughline.shutdown(SOON));
                ensure!(report.is_complete(), "everything is exported: {report}");
                nanos
            }),
            Box::new(|| {
                let nanos = stack.during(|| {
                    nanos_each(STEPS * RUNS, || {
                        runtime.block_on(async {
                            for _ in 0..RUNS {
                                otel::run_of(STEPS).await;
                            }
                            Ok(())
                        })
                    })
                });
                stack.flush()?;
                nanos
            }),
        ],
    )?;
    Ok(vec![Line {
        what: "a traced step, 2 attributes, memory store and OTLP".to_owned(),
        ours: time(ours.median()),
        peer: format!("tracing + tracing-opentelemetry 0.34, batch: {}", time(otel.median())),
        value: ours.ratio_to(&otel),
        target: Target::RatioAtMost(1.3),
    }])
}

/// A collector that takes everything and looks at nothing, until the process ends.
pub(super) fn collector() -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            // A connection that ends is no failure of the measurement: what is missing would be in the report.
            std::thread::spawn(move || take_all(socket));
        }
    });
    Ok(address)
}

fn take_all(socket: TcpStream) -> std::io::Result<()> {
    let mut answers = socket.try_clone()?;
    let mut requests = BufReader::new(socket);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while requests.read_line(&mut line)? > 2 {
            if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or_default();
            }
            line.clear();
        }
        if line.is_empty() {
            return Ok(());
        }
        std::io::copy(&mut (&mut requests).take(length), &mut std::io::sink())?;
        answers.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")?;
    }
}
