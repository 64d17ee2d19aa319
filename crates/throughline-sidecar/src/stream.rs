//! [`Stream`]: what is piped in.

use std::io::{self, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvError, TryRecvError, sync_channel};
use std::thread;

use crate::found::{Fault, LogsError};
use crate::lines::{Each, Lines};

const CHUNK: usize = 64 * 1024;
/// How many chunks wait to be shown before who writes them has to wait.
const WAITING: usize = 16;
/// What a stream is called where others have paths.
const NAME: &str = "-";

/// A stream, which a thread of its own reads: to wait for it must not keep anybody from looking at files.
pub(crate) struct Stream {
    chunks: Receiver<io::Result<Vec<u8>>>,
    lines: Lines,
    is_over: bool,
}

impl Stream {
    pub(crate) fn new(mut source: impl Read + Send + 'static) -> Self {
        let (sender, chunks) = sync_channel(WAITING);
        let read = move || {
            loop {
                let mut chunk = vec![0; CHUNK];
                let read = match source.read(&mut chunk) {
                    Ok(0) => return,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    Ok(length) => {
                        chunk.truncate(length);
                        Ok(chunk)
                    }
                    Err(error) => Err(error),
                };
                let is_broken = read.is_err();
                if sender.send(read).is_err() || is_broken {
                    return;
                }
            }
        };
        // Without a thread nothing comes, which is the end of the stream.
        let _ = thread::Builder::new().name("throughline-input".to_owned()).spawn(read);
        Self { chunks, lines: Lines::new(), is_over: false }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Hands over the lines that have come, as many as wait at most: whoever writes without a pause must not keep others from being
    /// read. Says whether there was anything.
    pub(crate) fn read(&mut self, each: Each<'_>) -> Result<bool, Fault> {
        let mut is_new = false;
        for _ in 0..WAITING {
            if self.is_over {
                break;
            }
            match self.chunks.try_recv() {
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => self.take(None, each)?,
                Ok(chunk) => self.take(Some(chunk), each)?,
            }
            is_new = true;
        }
        Ok(is_new)
    }

    /// Waits for the end of the stream.
    pub(crate) fn wait(&mut self, each: Each<'_>) -> Result<(), Fault> {
        while !self.is_over {
            match self.chunks.recv() {
                Err(RecvError) => self.take(None, each)?,
                Ok(chunk) => self.take(Some(chunk), each)?,
            }
        }
        Ok(())
    }

    fn take(&mut self, chunk: Option<io::Result<Vec<u8>>>, each: Each<'_>) -> Result<(), Fault> {
        let path = Path::new(NAME);
        match chunk {
            Some(Ok(chunk)) => return Ok(self.lines.take(&chunk, path, each)?),
            Some(Err(error)) => {
                self.is_over = true;
                self.lines.end(path, each)?;
                return Err(LogsError::read(path, error).into());
            }
            None => self.is_over = true,
        }
        Ok(self.lines.end(path, each)?)
    }

    pub(crate) fn end(&mut self, each: Each<'_>) -> io::Result<()> {
        self.lines.end(Path::new(NAME), each)
    }
}
