//! Where a position in a minified script is in its source.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use sourcemap::{DecodedMap, SourceMap};
use tokio::sync::Mutex;

/// Larger maps are not read, and so many bytes of maps are kept: parsed, each takes several times as much memory.
const LARGEST: u64 = 32 * 1024 * 1024;
const MOST_KEPT: u64 = 64 * 1024 * 1024;
/// Of how many scripts the maps are looked at for one stack, and how long the name of a source is at most.
const MOST_SCRIPTS: usize = 5;
const LONGEST_SOURCE: usize = 200;

/// The source maps of a folder.
#[derive(Debug, Clone)]
pub(super) struct SourceMaps {
    folder: Arc<Path>,
    /// One stack after the other, so that many at once don't read as many maps.
    kept: Arc<Mutex<Vec<Kept>>>,
}

/// A map that was read; nothing if it is none.
#[derive(Debug)]
struct Kept {
    name: String,
    /// The file as it was when it was read.
    file: (u64, Option<SystemTime>),
    map: Option<SourceMap>,
}

impl SourceMaps {
    /// # Errors
    /// When the folder can't be read.
    pub(super) fn of(folder: &Path) -> io::Result<Self> {
        std::fs::read_dir(folder)?;
        Ok(Self { folder: folder.into(), kept: Arc::default() })
    }

    /// A stack with the positions in sources, as far as maps say them.
    pub(super) async fn resolve(&self, stack: String) -> String {
        let kept = Arc::clone(&self.kept).lock_owned().await;
        let (folder, given) = (Arc::clone(&self.folder), stack.clone());
        let resolved = tokio::task::spawn_blocking(move || {
            let mut maps = Maps { folder: &folder, kept, looked_at: BTreeSet::new() };
            let lines: Vec<_> = given.lines().map(|line| maps.line(line)).collect();
            lines.join("\n")
        });
        // A map that makes the parser panic is as good as none.
        resolved.await.unwrap_or(stack)
    }
}

/// The maps while one stack is resolved.
struct Maps<'a> {
    folder: &'a Path,
    kept: tokio::sync::OwnedMutexGuard<Vec<Kept>>,
    looked_at: BTreeSet<String>,
}

impl Maps<'_> {
    /// A line of a stack with its position in the source.
    fn line(&mut self, line: &str) -> String {
        let resolved = Position::of(line).and_then(|position| {
            let source = self.source(&position)?;
            Some([&line[..position.begins], &source, &line[position.ends..]].concat())
        });
        resolved.unwrap_or_else(|| line.to_owned())
    }

    fn source(&mut self, position: &Position<'_>) -> Option<String> {
        let (line, column) = (position.line.checked_sub(1)?, position.column.checked_sub(1)?);
        let token = self.map(position.script)?.lookup_token(line, column)?;
        // What is before in another line is not it.
        let source = (token.get_dst_line() == line).then(|| token.get_source())??;
        let source: String = source.chars().filter(|c| !c.is_control()).take(LONGEST_SOURCE).collect();
        let [line, column] = [token.get_src_line(), token.get_src_col()].map(|n| u64::from(n) + 1);
        Some(format!("{source}:{line}:{column}"))
    }

    /// The map of a script.
    fn map(&mut self, script: &str) -> Option<&SourceMap> {
        if !self.looked_at.contains(script) && self.looked_at.len() == MOST_SCRIPTS {
            return None;
        }
        self.looked_at.insert(script.to_owned());
        let path = self.folder.join(format!("{script}.map"));
        let file = std::fs::metadata(&path).ok().filter(|file| file.is_file() && file.len() <= LARGEST)?;
        let file = (file.len(), file.modified().ok());
        let known = self.kept.iter().position(|kept| kept.name == script);
        let known = known.map(|at| self.kept.remove(at)).filter(|kept| kept.file == file);
        let kept = known.unwrap_or_else(|| Kept { name: script.to_owned(), file, map: read(&path) });
        self.kept.push(kept);
        // The one that was asked for least recently goes first.
        while self.kept.len() > 1 && self.kept.iter().map(|kept| kept.file.0).sum::<u64>() > MOST_KEPT {
            self.kept.remove(0);
        }
        self.kept.last()?.map.as_ref()
    }
}

fn read(path: &Path) -> Option<SourceMap> {
    let mut text = Vec::new();
    // It may have grown since it was looked at.
    File::open(path).ok()?.take(LARGEST).read_to_end(&mut text).ok()?;
    match sourcemap::decode_slice(&text).ok()? {
        DecodedMap::Regular(map) => Some(map),
        DecodedMap::Index(index) => index.flatten().ok(),
        DecodedMap::Hermes(_) => None,
    }
}

/// A position in a script, as a line of a stack has it: `at pay (https://shop.example.org/app.js?v=3:1:2081)`, or
/// `pay@https://shop.example.org/app.js:1:2081`.
#[derive(Debug, PartialEq)]
struct Position<'a> {
    /// The name of its file.
    script: &'a str,
    line: u32,
    column: u32,
    /// Where the address begins in the line, and where the column ends.
    begins: usize,
    ends: usize,
}

impl<'a> Position<'a> {
    fn of(line: &'a str) -> Option<Self> {
        let text = line.trim_end();
        let text = text.strip_suffix(')').unwrap_or(text);
        let (rest, column) = text.rsplit_once(':')?;
        let (address, number) = rest.rsplit_once(':')?;
        let begins = address.rfind(['(', '@', ' ']).map_or(0, |at| at + 1);
        let path = address[begins..].split(['?', '#']).next()?;
        let script = path.rsplit('/').next()?;
        // A name and no path: no other folder, and none that is hidden.
        let is_name = !script.is_empty()
            && !script.starts_with('.')
            && script.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '~' | '+'));
        let position = Self {
            script,
            line: number.parse().ok()?,
            column: column.parse().ok()?,
            begins,
            ends: text.len(),
        };
        is_name.then_some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_found_as_each_browser_writes_them() {
        let of = |line| Position::of(line).map(|it: Position<'_>| (it.script.to_owned(), it.line, it.column));
        let it = Some(("app-3f.js".to_owned(), 1, 2081));
        for line in [
            "    at pay (https://shop.example.org/assets/app-3f.js:1:2081)",
            "    at https://shop.example.org/app-3f.js:1:2081",
            "    at async Promise.all (https://shop.example.org:8443/app-3f.js?v=3:1:2081)",
            "pay@https://shop.example.org/app-3f.js#x:1:2081",
            "https://shop.example.org/app-3f.js:1:2081",
        ] {
            assert_eq!(of(line), it, "{line}");
        }
        for line in [
            "TypeError: 3 is not a function",
            "at pay (native)",
            "at https://shop.example.org/:1:2",
            "at https://shop.example.org/..:1:2",
            "at https://shop.example.org/.env:1:2",
            "at https://shop.example.org/a%2f..%2fb:1:2",
            "at app.js:1:99999999999999",
            "at \u{e4}.js:1:2",
            "::",
        ] {
            assert_eq!(of(line), None, "{line}");
        }
    }

    /// A folder with a map, and what becomes of a position in its script.
    async fn resolved(map: &[u8], position: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.js.map"), map).unwrap();
        let maps = SourceMaps::of(folder.path()).unwrap();
        maps.resolve(format!("at https://shop.example.org/app.js:{position}")).await
    }

    #[tokio::test]
    async fn a_map_says_where_its_source_is_and_a_bad_one_nothing() {
        let map = br#"{"version":3,"sources":["src/pay.ts"],"names":[],"mappings":"AAEA"}"#;
        assert_eq!(resolved(map, "1:7").await, "at src/pay.ts:3:1");
        let index = br#"{"version":3,"sections":[{"offset":{"line":1,"column":0},"map":
            {"version":3,"sources":["src/pay.ts"],"names":[],"mappings":"AAEA"}}]}"#;
        assert_eq!(resolved(index, "2:7").await, "at src/pay.ts:3:1");
        let unresolved = "at https://shop.example.org/app.js:9:7";
        let nested = [b"{\"version\":3,\"sections\":[".repeat(5_000), b"]}".repeat(5_000)].concat();
        let hostile: [&[u8]; 9] = [
            map,
            b"",
            b"\xff\xfe{",
            b"{}",
            b"[[[[[[[[",
            br#"{"version":3,"sources":[],"names":[],"mappings":"AAgggggggggggggggggggggE;;;;;;;;AAAA"}"#,
            br#"{"version":3,"sources":["a"],"names":[],"mappings":";;;;;;;;D0000000AAAA,AAAAAAAAAAAAA"}"#,
            br#"{"version":3,"sections":[{"offset":{"line":4294967295,"column":4294967295},"map":{"version":3,"sources":["a"],"names":[],"mappings":";;AAAA"}}]}"#,
            &nested,
        ];
        for map in hostile {
            assert_eq!(
                resolved(map, "9:7").await,
                unresolved,
                "{}",
                String::from_utf8_lossy(&map[..map.len().min(90)])
            );
        }
    }

    #[tokio::test]
    async fn a_huge_map_is_not_read_and_names_of_sources_are_cut() {
        let folder = tempfile::tempdir().unwrap();
        let huge = File::create(folder.path().join("huge.js.map")).unwrap();
        huge.set_len(LARGEST + 1).unwrap();
        let source = format!("\\u0007{}", "x".repeat(10_000));
        let map = format!(r#"{{"version":3,"sources":["{source}"],"names":[],"mappings":"AAAA"}}"#);
        std::fs::write(folder.path().join("app.js.map"), map).unwrap();
        let maps = SourceMaps::of(folder.path()).unwrap();
        let stack = maps.resolve("at /huge.js:1:1\nat /app.js:1:1".to_owned()).await;
        assert_eq!(stack, format!("at /huge.js:1:1\nat {}:1:1", "x".repeat(LONGEST_SOURCE)));
    }

    #[tokio::test]
    async fn maps_are_read_once_until_they_change_and_of_a_few_scripts_a_stack() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, source: &str| {
            let map = format!(r#"{{"version":3,"sources":["{source}"],"names":[],"mappings":"AAAA"}}"#);
            std::fs::write(folder.path().join(name), map).unwrap();
        };
        (0..9).for_each(|n| write(&format!("{n}.js.map"), "old.ts"));
        let maps = SourceMaps::of(folder.path()).unwrap();
        let stack: Vec<_> = (0..9).map(|n| format!("at /{n}.js:1:1")).collect();
        let resolved = maps.resolve(stack.join("\n")).await;
        assert_eq!(resolved.matches("old.ts").count(), MOST_SCRIPTS, "{resolved}");
        assert_eq!(maps.kept.lock().await.len(), MOST_SCRIPTS);
        write("0.js.map", "newer.ts");
        assert_eq!(maps.resolve("at /0.js:1:1".to_owned()).await, "at newer.ts:1:1");
        assert_eq!(maps.kept.lock().await.len(), MOST_SCRIPTS);
    }
}
