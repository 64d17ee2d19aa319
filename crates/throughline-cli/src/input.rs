//! The file that an import reads.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest, Sha256};

/// How much is read at a time.
const BLOCK: usize = 256 << 10;

/// What a file holds, recognised by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Xes,
    JsonLines,
}

/// A file of events, plain or compressed. It can be read several times.
#[derive(Debug)]
pub(crate) struct Input {
    file: File,
    is_gzip: bool,
    size: u64,
}

/// Why a file can't be imported, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("it can't be opened: {0}")]
    Open(io::Error),
    #[error("it can't be read: {0}")]
    Read(io::Error),
    #[error("it is a directory; name a file in it")]
    Folder,
    #[error("it is empty")]
    Empty,
    #[error("it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    #[error("it is neither JSON lines (a line begins with `{{`) nor XES (an XML file with a <log>)")]
    Unknown,
}

/// The identity and the size of what a file holds.
#[derive(Debug)]
pub(crate) struct Fingerprint {
    /// SHA-256 of the content, decompressed, in hex digits.
    pub(crate) sha256: String,
    /// Bytes, decompressed, as far as they can be read.
    pub(crate) bytes: u64,
}

impl Input {
    /// Opens a file. What can't be read twice, as the standard input (`-`) or a pipe, is copied to a temporary
    /// file first.
    pub(crate) fn open(path: &Path) -> Result<Self, InputError> {
        let file = if path == Path::new("-") {
            spool(&mut io::stdin().lock())?
        } else {
            let mut file = File::open(path).map_err(InputError::Open)?;
            let metadata = file.metadata().map_err(InputError::Open)?;
            if metadata.is_dir() {
                return Err(InputError::Folder);
            }
            if metadata.is_file() { file } else { spool(&mut file)? }
        };
        let size = file.metadata().map_err(InputError::Open)?.len();
        let mut input = Self { file, is_gzip: false, size };
        let head = input.head(2)?;
        input.is_gzip = head == [0x1F, 0x8B];
        Ok(input)
    }

    /// The size of the file as it is.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// How much of the file as it is has been read, of the content that was asked for last.
    pub(crate) fn position(&self) -> u64 {
        (&self.file).stream_position().unwrap_or(0)
    }

    /// What the file holds.
    pub(crate) fn format(&self) -> Result<Format, InputError> {
        // Blank lines may stand before the first event; but not for long.
        let head = self.head(64 << 10)?;
        let text = head.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&head);
        match text.trim_ascii_start().first() {
            _ if text.starts_with(b"\xFF\xFE") || text.starts_with(b"\xFE\xFF") => Err(InputError::Utf16),
            Some(b'<') => Ok(Format::Xes),
            Some(b'{') => Ok(Format::JsonLines),
            None if head.is_empty() => Err(InputError::Empty),
            _ => Err(InputError::Unknown),
        }
    }

    /// The content from its beginning, decompressed.
    pub(crate) fn content(&self) -> Result<Box<dyn BufRead>, InputError> {
        let mut file = self.file.try_clone().map_err(InputError::Read)?;
        file.seek(SeekFrom::Start(0)).map_err(InputError::Read)?;
        let file = BufReader::with_capacity(BLOCK, file);
        Ok(match self.is_gzip {
            true => Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(file))),
            false => Box::new(file),
        })
    }

    /// Reads the content once to identify it. Where it is cut off, as a truncated gzip does, what came before
    /// is identified.
    pub(crate) fn fingerprint(&self) -> Result<Fingerprint, InputError> {
        let mut content = self.content()?;
        let mut hash = Sha256::new();
        let mut bytes = 0;
        loop {
            let length = match content.fill_buf() {
                Ok([]) => break,
                Ok(block) => {
                    hash.update(block);
                    block.len()
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            bytes += length as u64;
            content.consume(length);
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Fingerprint { sha256, bytes })
    }

    fn head(&self, length: u64) -> Result<Vec<u8>, InputError> {
        let mut head = Vec::new();
        match self.content()?.take(length).read_to_end(&mut head) {
            Err(error) if head.is_empty() => Err(InputError::Read(error)),
            _ => Ok(head),
        }
    }
}

fn spool(from: &mut impl Read) -> Result<File, InputError> {
    let mut file = tempfile::tempfile().map_err(InputError::Read)?;
    io::copy(from, &mut file).map_err(InputError::Read)?;
    Ok(file)
}
