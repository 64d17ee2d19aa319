//! A proxy on loopback that does to connections what networks do. The crate `noxious` delays and limits them; it does not reset or
//! half-close them, nor lose answers, which is what matters most here.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;

/// What happens to everything that passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// It passes.
    Fair,
    /// It passes after that long, in both directions.
    Slow(Duration),
    /// Connections stay open and nothing passes, until the weather changes.
    Stalled,
    /// Requests pass. Answers do not, and connections are reset when the weather changes.
    AnswersLost,
    /// Connections are reset, and so is each new one.
    Down,
    /// The server's side of each connection is closed, so that no answer comes; requests are taken and lead nowhere.
    HalfClosed,
}

/// Where connections lead.
#[derive(Clone)]
pub(crate) enum Server {
    Tcp(u16),
    Unix(PathBuf),
}

/// A proxy, which ends with this.
pub(crate) struct Proxy {
    address: SocketAddr,
    weather: watch::Sender<Weather>,
}

impl Proxy {
    /// On its own thread and runtime, so that nothing it does depends on those that use it.
    pub(crate) fn to(server: Server) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (weather, forecast) = watch::channel(Weather::Fair);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || runtime.block_on(listen(listener, server, forecast)));
        Self { address, weather }
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    pub(crate) fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Resets every connection that is open; new ones pass.
    pub(crate) fn reset(&self) {
        self.set(Weather::Down);
        self.set(Weather::Fair);
    }
}

/// Until the proxy is gone.
async fn listen(listener: std::net::TcpListener, server: Server, mut weather: watch::Receiver<Weather>) {
    let listener = TcpListener::from_std(listener).unwrap();
    let forecast = weather.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    tokio::spawn(connect(client, server.clone(), forecast.clone()));
                }
            }
            changed = weather.changed() => {
                if changed.is_err() {
                    return;
                }
            }
        }
    }
}

async fn connect(client: TcpStream, server: Server, weather: watch::Receiver<Weather>) {
    client.set_nodelay(true).unwrap();
    match server {
        Server::Tcp(port) => match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(server) => {
                server.set_nodelay(true).unwrap();
                let (read, write) = server.into_split();
                carry(client, read, write, weather).await;
            }
            Err(_) => reset(&client),
        },
        Server::Unix(path) => match UnixStream::connect(path).await {
            Ok(server) => {
                let (read, write) = server.into_split();
                carry(client, read, write, weather).await;
            }
            Err(_) => reset(&client),
        },
    }
}

/// Closes a connection the hard way.
fn reset(client: &TcpStream) {
    // Of one that is closed already nothing is left to be reset.
    let _ = client.set_zero_linger();
}

async fn carry(
    client: TcpStream,
    server_read: impl AsyncRead + Unpin,
    server_write: impl AsyncWrite + Unpin,
    weather: watch::Receiver<Weather>,
) {
    let (mut client_read, mut client_write) = client.into_split();
    let end = {
        let requests = pump(&mut client_read, server_write, weather.clone(), false);
        let answers = pump(server_read, &mut client_write, weather.clone(), true);
        tokio::select! {
            end = requests => end,
            end = answers => end,
            () = is_down(weather) => End::Reset,
        }
    };
    let Ok(client) = client_read.reunite(client_write) else { return };
    if end == End::Reset {
        reset(&client);
    }
}

#[derive(PartialEq, Eq)]
enum End {
    Closed,
    Reset,
}

async fn is_down(mut weather: watch::Receiver<Weather>) {
    // Ends with the proxy as well.
    let _ = weather.wait_for(|weather| *weather == Weather::Down).await;
}

async fn pump(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut weather: watch::Receiver<Weather>,
    are_answers: bool,
) -> End {
    let mut buffer = vec![0; 64 * 1024];
    let mut is_lost = false;
    loop {
        let read = tokio::select! {
            read = from.read(&mut buffer) => read,
            changed = weather.changed(), if is_lost || are_answers => {
                if is_lost || changed.is_err() {
                    return End::Reset;
                }
                if *weather.borrow() == Weather::HalfClosed && to.shutdown().await.is_err() {
                    return End::Closed;
                }
                continue;
            }
        };
        let bytes = match read {
            Ok(bytes @ 1..) => &buffer[..bytes],
            _ => return End::Closed,
        };
        loop {
            let now = *weather.borrow_and_update();
            match now {
                Weather::Fair => {}
                Weather::Slow(delay) => {
                    let _ = tokio::time::timeout(delay, std::future::pending::<()>()).await;
                }
                Weather::Stalled => {
                    if weather.changed().await.is_err() {
                        return End::Reset;
                    }
                    continue;
                }
                Weather::AnswersLost if are_answers => is_lost = true,
                Weather::AnswersLost => {}
                Weather::Down => return End::Reset,
                Weather::HalfClosed => is_lost = true,
            }
            break;
        }
        if !is_lost && to.write_all(bytes).await.is_err() {
            return End::Closed;
        }
    }
}

impl Server {
    /// The socket of a Postgres server that keeps its sockets in this folder.
    pub(crate) fn postgres(folder: &Path) -> Self {
        Self::Unix(folder.join(".s.PGSQL.5432"))
    }
}
