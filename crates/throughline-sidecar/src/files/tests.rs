//! Files that grow, are renamed, truncated and compressed while they are followed.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::lines::LONGEST;

/// A folder with a log in it.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        Self(TempDir::new().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn append(&self, name: &str, text: impl AsRef<[u8]>) {
        let mut file = OpenOptions::new().create(true).append(true).open(self.path(name)).unwrap();
        file.write_all(text.as_ref()).unwrap();
    }

    fn rename(&self, from: &str, to: &str) {
        fs::rename(self.path(from), self.path(to)).unwrap();
    }

    fn gzip(&self, name: &str, text: &str) {
        let mut encoder = GzEncoder::new(File::create(self.path(name)).unwrap(), Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap();
    }

    fn follow(&self, name: &str) -> Files {
        Files::new([self.path(name)])
    }
}

/// What is new.
fn new(files: &mut Files) -> Vec<String> {
    let mut lines = Vec::new();
    files.read(|line| keep(line, &mut lines)).unwrap();
    lines
}

fn end(files: &mut Files) -> Vec<String> {
    let mut lines = Vec::new();
    files.end(|line| keep(line, &mut lines)).unwrap();
    lines
}

fn keep(line: FoundLine<'_>, lines: &mut Vec<String>) -> io::Result<()> {
    lines.push(String::from_utf8_lossy(line.bytes).into_owned());
    Ok(())
}

#[test]
fn lines_are_handed_over_once_they_are_complete() {
    let folder = Folder::new();
    folder.append("app.log", "one\r\ntwo\nthr");
    let mut files = folder.follow("app.log");
    assert_eq!(new(&mut files), ["one", "two"]);
    assert!(new(&mut files).is_empty());
    folder.append("app.log", "ee\n\nfour");
    assert_eq!(new(&mut files), ["three", ""]);
    assert_eq!(end(&mut files), ["four"]);
}

#[test]
fn a_file_may_come_late() {
    let folder = Folder::new();
    let mut files = folder.follow("app.log");
    assert!(new(&mut files).is_empty());
    assert_eq!(files.missing().count(), 1);
    folder.append("app.log", "one\n");
    assert_eq!(new(&mut files), ["one"]);
    assert_eq!(files.missing().count(), 0);
}

#[test]
fn what_is_written_before_and_after_a_rename_is_all_read() {
    let folder = Folder::new();
    folder.append("app.log", "one\n");
    let mut files = folder.follow("app.log");
    assert_eq!(new(&mut files), ["one"]);
    folder.append("app.log", "two\n");
    folder.rename("app.log", "app.log.1");
    // Its writer has not heard of it yet.
    folder.append("app.log.1", "three\n");
    assert_eq!(new(&mut files), ["two", "three"]);
    folder.append("app.log", "five\n");
    folder.append("app.log.1", "four\n");
    assert_eq!(new(&mut files), ["four", "five"]);
    folder.append("app.log.1", "late\n");
    folder.append("app.log", "six\n");
    assert_eq!(new(&mut files), ["late", "six"]);
}

#[test]
fn a_log_that_is_called_after_another_is_not_what_was_there_before() {
    let folder = Folder::new();
    folder.append("app.log", "one\n");
    let mut files = folder.follow("app.log");
    assert_eq!(new(&mut files), ["one"]);
    folder.rename("app.log", "app.log.old");
    folder.append("app.log.errors", "of another log\n");
    folder.append("app.log", "two\n");
    assert_eq!(new(&mut files), ["two"]);
}

#[test]
fn files_that_came_and_went_between_two_looks_are_read_too() {
    let folder = Folder::new();
    folder.append("app.log", "one\n");
    let mut files = folder.follow("app.log");
    assert_eq!(new(&mut files), ["one"]);
    folder.append("app.log", "two\n");
    folder.rename("app.log", "app.log.1");
    folder.append("app.log", "three\n");
    folder.rename("app.log.1", "app.log.2");
    folder.rename("app.log", "app.log.1");
    folder.append("app.log", "four\n");
    assert_eq!(new(&mut files), ["two", "three", "four"]);
    assert!(new(&mut files).is_empty());
}

#[test]
fn a_truncated_file_is_read_from_its_beginning_even_if_it_has_grown_again() {
    let folder = Folder::new();
    folder.append("app.log", "one\ntwo\n");
    let mut files = folder.follow("app.log");
    assert_eq!(new(&mut files), ["one", "two"]);
    for again in ["3\n", "vier\nfünf\n", "sechs, which is longer than all that was there before\n"] {
        fs::write(folder.path("app.log"), again).unwrap();
        assert_eq!(new(&mut files), again.lines().collect::<Vec<_>>());
    }
}

#[test]
fn the_hole_that_a_writer_leaves_in_a_truncated_file_is_no_line() {
    let folder = Folder::new();
    let mut writer = File::create(folder.path("app.log")).unwrap();
    writer.write_all(&b"one\n".repeat(LONGEST)).unwrap();
    let mut files = folder.follow("app.log");
    assert_eq!(new(&mut files).len(), LONGEST);
    File::options().write(true).open(folder.path("app.log")).unwrap().set_len(0).unwrap();
    writer.write_all(b"two\n").unwrap();
    assert_eq!(new(&mut files), ["two"]);
}

#[test]
fn a_longer_line_than_is_kept_is_cut_and_the_next_one_is_whole() {
    let folder = Folder::new();
    let mut files = folder.follow("app.log");
    let long = "x".repeat(LONGEST / 2);
    for _ in 0..5 {
        folder.append("app.log", &long);
        assert!(new(&mut files).is_empty());
    }
    folder.append("app.log", "\nnext\n");
    let mut found = Vec::new();
    files
        .read(|line| {
            found.push((line.bytes.len(), line.cut));
            Ok(())
        })
        .unwrap();
    assert_eq!(found, [(LONGEST, long.len() as u64 * 5 - LONGEST as u64), (4, 0)]);
}

#[test]
fn a_new_watcher_can_begin_with_the_last_lines() {
    let folder = Folder::new();
    let all: Vec<_> = (0..50_000).map(|n| format!("line {n}")).collect();
    folder.append("app.log", all.join("\n") + "\n");
    for last in [0, 1, 2, 20_000, 50_000, 60_000] {
        let mut files = folder.follow("app.log").last(last);
        let expected = &all[all.len().saturating_sub(last)..];
        assert_eq!(new(&mut files), expected);
        assert!(new(&mut files).is_empty(), "{last}");
    }
    let mut files = folder.follow("app.log").last(1);
    new(&mut files);
    folder.append("app.log", "next\n");
    assert_eq!(new(&mut files), ["next"]);
}

#[test]
fn a_file_that_was_begun_at_its_end_is_seen_to_be_truncated() {
    let folder = Folder::new();
    folder.append("app.log", "the same first line\n".repeat(1_000));
    let mut files = folder.follow("app.log").last(0);
    assert!(new(&mut files).is_empty());
    fs::write(folder.path("app.log"), "the same first line\n".repeat(20)).unwrap();
    assert_eq!(new(&mut files).len(), 20);
}

#[test]
fn compressed_files_are_read_by_their_ending_and_rotated_ones_on_request() {
    let folder = Folder::new();
    folder.gzip("app.log.2.gz", "one\ntwo\n");
    let earlier = fs::metadata(folder.path("app.log.2.gz")).unwrap().modified().unwrap();
    folder.append("app.log.1", "three\n");
    folder.append("app.log", "four\n");
    for other in ["app.logger", "app.log.errors", "app.log-audit.1"] {
        folder.append(other, "of another program\n");
    }
    let second = std::time::Duration::from_secs(1);
    let age = |name: &str, seconds| {
        let file = File::options().write(true).open(folder.path(name)).unwrap();
        file.set_modified(earlier - second * seconds).unwrap();
    };
    age("app.log.2.gz", 2);
    age("app.log.1", 1);
    assert_eq!(new(&mut folder.follow("app.log.2.gz")), ["one", "two"]);
    assert_eq!(new(&mut folder.follow("app.log")), ["four"]);
    assert_eq!(new(&mut folder.follow("app.log").with_rotated()), ["one", "two", "three", "four"]);
}

#[test]
fn a_compressed_file_that_is_torn_is_read_as_far_as_it_goes() {
    let folder = Folder::new();
    folder.gzip("app.log.gz", &"a line\n".repeat(100_000));
    let whole = fs::read(folder.path("app.log.gz")).unwrap();
    fs::write(folder.path("app.log.gz"), &whole[..whole.len() - 12]).unwrap();
    let mut lines = Vec::new();
    let error = folder.follow("app.log.gz").read(|line| keep(line, &mut lines)).unwrap_err();
    assert!(error.to_string().contains("app.log.gz"), "{error}");
    assert!(lines.len() > 1_000, "{}", lines.len());
    // The others are read all the same.
    folder.append("app.log", "the last line\n");
    let mut files = folder.follow("app.log").with_rotated();
    assert!(matches!(files.read(|_| Ok(())), Err(LogsError::Gzip { .. })));
    assert_eq!(new(&mut files), ["the last line"]);
}

#[test]
fn all_logs_of_a_folder_are_followed_each_once_whatever_they_are_renamed_to() {
    let folder = Folder::new();
    folder.append("a.2026-03-01.jsonl", "one\n");
    folder.append("notes.txt", "no log\n");
    let mut files = Files::new([folder.0.path().to_owned()]);
    assert_eq!(new(&mut files), ["one"]);
    folder.append("a.2026-03-02.jsonl", "two\n");
    assert_eq!(new(&mut files), ["two"]);
    folder.rename("a.2026-03-02.jsonl", "b.jsonl");
    folder.append("b.jsonl", "three\n");
    assert_eq!(new(&mut files), ["three"]);
    folder.append("a.2026-03-02.jsonl", "four\n");
    assert_eq!(new(&mut files), ["four"]);
    assert!(new(&mut files).is_empty());
}

#[test]
fn a_log_of_a_folder_may_come_under_another_name_first() {
    let folder = Folder::new();
    let mut files = Files::new([folder.0.path().to_owned()]);
    folder.append("app.tmp", "one\n");
    assert!(new(&mut files).is_empty());
    folder.rename("app.tmp", "app.log");
    assert_eq!(new(&mut files), ["one"]);
    folder.append("app.log", "two\n");
    assert_eq!(new(&mut files), ["two"]);
}

#[cfg(unix)]
#[test]
fn a_log_that_has_two_names_in_a_folder_is_read_once() {
    let folder = Folder::new();
    folder.append("app-2026.log", "one\n");
    std::os::unix::fs::symlink("app-2026.log", folder.path("current.log")).unwrap();
    fs::hard_link(folder.path("app-2026.log"), folder.path("again.log")).unwrap();
    let mut files = Files::new([folder.0.path().to_owned()]);
    assert_eq!(new(&mut files), ["one"]);
    folder.append("app-2026.log", "two\n");
    assert_eq!(new(&mut files), ["two"]);
}

#[test]
fn what_cannot_be_read_is_named() {
    let folder = Folder::new();
    folder.append("app.log", "");
    let error = folder.follow("app.log/none").read(|_| Ok(())).unwrap_err();
    assert!(error.to_string().contains("app.log/none: "), "{error}");
}

#[derive(Debug, Clone)]
enum Move {
    Write(String),
    Rename,
    Look,
}

fn moves() -> impl Strategy<Value = Vec<Move>> {
    let one = prop_oneof![
        3 => "[a-z\n]{0,40}".prop_map(Move::Write),
        1 => Just(Move::Rename),
        2 => Just(Move::Look),
    ];
    proptest::collection::vec(one, 0..40)
}

proptest! {
    #[test]
    fn every_line_is_read_once_and_in_order_whenever_files_are_renamed(moves in moves()) {
        let folder = Folder::new();
        let mut files = folder.follow("app.log");
        let (mut written, mut read, mut renames) = (String::new(), Vec::new(), 0);
        folder.append("app.log", "");
        read.extend(new(&mut files));
        for one in moves {
            match one {
                Move::Write(text) => {
                    folder.append("app.log", &text);
                    written.push_str(&text);
                }
                Move::Rename => {
                    // A program that rotates ends its line first.
                    folder.append("app.log", "\n");
                    written.push('\n');
                    renames += 1;
                    folder.rename("app.log", &format!("app.log-{renames:03}"));
                    folder.append("app.log", "");
                }
                Move::Look => read.extend(new(&mut files)),
            }
        }
        read.extend(new(&mut files));
        read.extend(end(&mut files));
        prop_assert_eq!(read.join("\n"), written.lines().collect::<Vec<_>>().join("\n"));
    }
}
