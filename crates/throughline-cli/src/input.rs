//! What an import reads: a file, or a stream that can be read only once and may have no end.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Seek, Write};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;
use hmac_sha256::Hash as Sha256;

use crate::stories::page;
use crate::xes::reader::{Problem, XesError, XesReader};

/// How much is read at a time.
const BLOCK: usize = 256 << 10;
/// How much may be read before the format is known.
const HEAD: usize = 64 << 10;
/// How much of a stream is kept in a temporary file, in bytes.
const MAX_KEPT: u64 = 2 << 30;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// What an input holds, recognised by its first character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Xes,
    JsonLines,
}

/// Why something can't be imported, in one line.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InputError {
    #[error("it can't be opened: {0}")]
    Open(io::Error),
    #[error("it can't be read: {0}")]
    Read(io::Error),
    #[error("it can't be copied to a temporary file: {0}")]
    Copy(io::Error),
    #[error("it is a directory; name a file in it")]
    Folder,
    #[error("it is empty")]
    Empty,
    #[error("it is UTF-16; convert it with `iconv -f UTF-16 -t UTF-8`")]
    Utf16,
    #[error("it is neither JSON lines (a line begins with `{{`) nor XES (an XML file with a <log>)")]
    Unknown,
    #[error(transparent)]
    NotXes(XesError),
    #[error("an event log from a pipe may have {} GiB; save it to a file, and import that", MAX_KEPT >> 30)]
    Endless,
}

/// Events to be imported, plain or compressed. Of a stream, no more has been read than it takes to know the format.
pub(crate) struct Input {
    pub(crate) format: Format,
    /// The content from its beginning, decompressed.
    pub(crate) content: Box<dyn BufRead>,
    /// The file that it is in; `None` of a stream, which may have no end.
    pub(crate) file: Option<InFile>,
}

/// The file that an input is in.
pub(crate) struct InFile {
    file: File,
    /// The size of the file as it is.
    pub(crate) size: u64,
}

impl InFile {
    /// How much of the file as it is has been read.
    pub(crate) fn position(&self) -> u64 {
        (&self.file).stream_position().unwrap_or(0)
    }
}

impl Input {
    /// Opens a file, or the standard input (`-`), and recognises what it holds.
    pub(crate) fn open(path: &Path) -> Result<Self, InputError> {
        if path == Path::new("-") {
            return Self::of(io::stdin(), None);
        }
        let file = File::open(path).map_err(InputError::Open)?;
        let metadata = file.metadata().map_err(InputError::Open)?;
        if metadata.is_dir() {
            return Err(InputError::Folder);
        }
        let again = match metadata.is_file() {
            true => Some(InFile { file: file.try_clone().map_err(InputError::Open)?, size: metadata.len() }),
            false => None,
        };
        Self::of(file, again)
    }

    fn of(reader: impl Read + 'static, file: Option<InFile>) -> Result<Self, InputError> {
        let mut content = decompressed(reader).map_err(InputError::Read)?;
        let head = head(&mut content).map_err(InputError::Read)?;
        let format = recognise(&head)?;
        let is_page = is_page(&head);
        let content: Box<dyn BufRead> = Box::new(Cursor::new(head).chain(content));
        // A page has its events as JSON lines.
        let content = if is_page { Box::new(BufReader::new(page::events(content))) } else { content };
        Ok(Self { format, content, file })
    }

    /// Reads an event log to its end, to identify it before it is read again. A stream is copied to a temporary file.
    pub(crate) fn into_log(mut self) -> Result<Log, InputError> {
        let mut head = Vec::new();
        let read = (&mut self.content).take(HEAD as u64).read_to_end(&mut head);
        if let Err(error @ XesError { problem: Problem::NotALog(_), .. }) = XesReader::open(&*head) {
            return Err(InputError::NotXes(error));
        }
        let mut hash = Sha256::new();
        let mut bytes = 0;
        let mut copy = match self.file {
            Some(_) => None,
            None => Some(tempfile::tempfile().map_err(InputError::Copy)?),
        };
        let mut add = |block: &[u8]| {
            hash.update(block);
            bytes += block.len() as u64;
            match &mut copy {
                Some(_) if bytes > MAX_KEPT => Err(InputError::Endless),
                Some(copy) => copy.write_all(block).map_err(InputError::Copy),
                None => Ok(()),
            }
        };
        add(&head)?;
        // Where it is cut off, as a truncated gzip is, what came before is identified.
        while read.is_ok() {
            let block = match self.content.fill_buf() {
                Ok([]) => break,
                Ok(block) => block,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(_) => break,
            };
            add(block)?;
            let length = block.len();
            self.content.consume(length);
        }
        let sha256 = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        // One of them is there.
        let mut file = self.file.map(|in_file| in_file.file).or(copy).ok_or(InputError::Empty)?;
        file.rewind().map_err(InputError::Read)?;
        Ok(Log { sha256, bytes, content: decompressed(file).map_err(InputError::Read)? })
    }
}

/// An event log that has been read once.
pub(crate) struct Log {
    /// SHA-256 of the content, decompressed, in hex digits.
    pub(crate) sha256: String,
    /// Bytes, decompressed, as far as they can be read.
    pub(crate) bytes: u64,
    /// The content from its beginning, decompressed.
    pub(crate) content: Box<dyn BufRead>,
}

fn decompressed(mut reader: impl Read + 'static) -> io::Result<Box<dyn BufRead>> {
    let mut magic = Vec::new();
    (&mut reader).take(2).read_to_end(&mut magic)?;
    let is_gzip = magic == [0x1F, 0x8B];
    let content = Cursor::new(magic).chain(BufReader::with_capacity(BLOCK, reader));
    Ok(match is_gzip {
        true => Box::new(BufReader::with_capacity(BLOCK, MultiGzDecoder::new(content))),
        false => Box::new(content),
    })
}

/// Reads up to the first character that is not blank, or if that begins an element, as far as it takes to tell a page from
/// an event log. Nothing more is waited for: a pipe may bring it much later.
fn head(content: &mut dyn BufRead) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    let is_known = |head: &[u8]| match text(head) {
        [] => false,
        [b'<', ..] => text(head).len() >= page::BEGINNING.len(),
        _ => true,
    };
    while head.len() < HEAD && (head.len() < BYTE_ORDER_MARK.len() || !is_known(&head)) {
        let block = match content.fill_buf() {
            Ok(block) => block,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if head.is_empty() => return Err(error),
            Err(_) => break,
        };
        if block.is_empty() {
            break;
        }
        let length = block.len().min(HEAD - head.len());
        head.extend_from_slice(&block[..length]);
        content.consume(length);
    }
    Ok(head)
}

fn text(head: &[u8]) -> &[u8] {
    head.strip_prefix(BYTE_ORDER_MARK).unwrap_or(head).trim_ascii_start()
}

/// Whether it is a page that was exported.
fn is_page(head: &[u8]) -> bool {
    let text = text(head);
    let beginning = &text[..text.len().min(page::BEGINNING.len())];
    beginning.eq_ignore_ascii_case(page::BEGINNING)
}

fn recognise(head: &[u8]) -> Result<Format, InputError> {
    match text(head).first() {
        _ if head.starts_with(b"\xFF\xFE") || head.starts_with(b"\xFE\xFF") => Err(InputError::Utf16),
        Some(b'<') if is_page(head) => Ok(Format::JsonLines),
        Some(b'<') => Ok(Format::Xes),
        Some(b'{') => Ok(Format::JsonLines),
        None if head.is_empty() => Err(InputError::Empty),
        _ => Err(InputError::Unknown),
    }
}
