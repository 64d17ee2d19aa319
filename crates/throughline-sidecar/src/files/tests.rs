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

    /// Makes it older, by so many seconds.
    fn age(&self, name: &str, seconds: u64) {
        let file = File::options().write(true).open(self.path(name)).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(seconds)).unwrap();
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
    let mut files = folder.follow("app.log.gz");
    let lines = new(&mut files);
    assert!(lines.len() > 1_000, "{}", lines.len());
    assert!(matches!(&*files.troubles(), [LogsError::Gzip { path, .. }] if path.ends_with("app.log.gz")));
    assert!(files.is_over());
    // The others are read all the same.
    folder.append("app.log", "the last line\n");
    let mut files = folder.follow("app.log").with_rotated();
    assert_eq!(new(&mut files).last().unwrap(), "the last line");
    assert_eq!(files.troubles().len(), 1);
}

#[test]
fn archives_are_read_once_whatever_they_are_renamed_to_before_their_turn() {
    let folder = Folder::new();
    folder.gzip("app.log.2.gz", "one\n");
    folder.append("app.log.1", "two\n");
    folder.append("app.log", "three\n");
    folder.age("app.log.2.gz", 3);
    folder.age("app.log.1", 2);
    let mut files = folder.follow("app.log").with_rotated();
    // As a program that rotates does: the oldest first, then it compresses what was renamed.
    folder.rename("app.log.2.gz", "app.log.3.gz");
    fs::remove_file(folder.path("app.log.1")).unwrap();
    folder.gzip("app.log.2.gz", "two\n");
    folder.age("app.log.2.gz", 2);
    folder.rename("app.log", "app.log.1");
    folder.append("app.log", "four\n");
    assert_eq!(new(&mut files), ["one", "two", "three", "four"]);
    assert!(new(&mut files).is_empty());
}

#[test]
fn what_was_rotated_and_compressed_between_two_looks_is_read_too() {
    let folder = Folder::new();
    folder.append("app.log", "one\n");
    let mut files = folder.follow("app.log").with_rotated();
    assert_eq!(new(&mut files), ["one"]);
    folder.append("app.log", "two\n");
    folder.age("app.log", 3);
    fs::remove_file(folder.path("app.log")).unwrap();
    folder.gzip("app.log.2.gz", "one\ntwo\n");
    folder.age("app.log.2.gz", 2);
    folder.gzip("app.log.1.gz", "three\n");
    folder.age("app.log.1.gz", 1);
    folder.append("app.log", "four\n");
    assert_eq!(new(&mut files), ["two", "three", "four"]);
    assert!(new(&mut files).is_empty());
}

#[test]
fn a_file_that_is_being_compressed_is_read_once() {
    let folder = Folder::new();
    folder.append("app.log.1", "one\n");
    folder.gzip("app.log.1.gz", "one\n");
    folder.append("app.log", "two\n");
    assert_eq!(new(&mut folder.follow("app.log").with_rotated()), ["one", "two"]);
}

#[test]
fn the_archives_of_a_folder_are_read_before_its_logs() {
    let folder = Folder::new();
    for (age, name) in
        ["a.log.2.gz", "b-2026-03-01.jsonl.gz", "a.log.1", "b.jsonl-20260302"].iter().enumerate()
    {
        match name.ends_with(".gz") {
            true => folder.gzip(name, &format!("{name}\n")),
            false => folder.append(name, format!("{name}\n")),
        }
        let file = File::options().write(true).open(folder.path(name)).unwrap();
        let moment = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000 + age as u64);
        file.set_modified(moment).unwrap();
    }
    folder.append("a.log", "a\n");
    folder.gzip("notes.txt.gz", "no log\n");
    folder.append("a.logger.1", "no log\n");
    let mut files = Files::new([folder.0.path().to_owned()]).with_rotated();
    assert_eq!(new(&mut files), ["a.log.2.gz", "b-2026-03-01.jsonl.gz", "a.log.1", "b.jsonl-20260302", "a"]);
    assert!(new(&mut files).is_empty());
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
fn a_path_that_cannot_be_read_is_named_once_and_keeps_nobody_from_reading_the_others() {
    let folder = Folder::new();
    folder.append("app.log", "one\n");
    fs::create_dir(folder.path("gone")).unwrap();
    let paths = ["app.log/none", "gone", "app.log", "none.log.gz"].map(|name| folder.path(name));
    let mut files = Files::new(paths);
    fs::remove_dir(folder.path("gone")).unwrap();
    assert_eq!(new(&mut files), ["one"]);
    let told: Vec<_> = files.troubles().iter().map(ToString::to_string).collect();
    for name in ["app.log/none: ", "gone: ", "none.log.gz: "] {
        assert_eq!(told.iter().filter(|told| told.contains(name)).count(), 1, "{name} {told:?}");
    }
    folder.append("app.log", "two\n");
    assert_eq!(new(&mut files), ["two"]);
    assert!(files.troubles().is_empty());
    assert_eq!(files.missing().count(), 0);
    // Once it can be read, it is.
    fs::create_dir(folder.path("gone")).unwrap();
    folder.append("gone/new.log", "three\n");
    assert_eq!(new(&mut files), ["three"]);
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_named_and_not_waited_for() {
    let folder = Folder::new();
    std::os::unix::net::UnixListener::bind(folder.path("app.log")).unwrap();
    let mut files = folder.follow("app.log");
    assert!(new(&mut files).is_empty());
    assert!(matches!(&*files.troubles(), [LogsError::NoFile { .. }]));
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_left_its_folder_is_let_go_once_nothing_comes_of_it() {
    let folder = Folder::new();
    let elsewhere = Folder::new();
    for name in ["deleted.log", "moved.log", "renamed.log", "kept.log"] {
        folder.append(name, "one\n");
    }
    let mut files = Files::new([folder.0.path().to_owned()]);
    let start = Instant::now();
    let look = |files: &mut Files, seconds| {
        let mut lines = Vec::new();
        let now = start + std::time::Duration::from_secs(seconds);
        files.read_at(now, |line| keep(line, &mut lines)).unwrap();
        lines
    };
    assert_eq!(look(&mut files, 0).len(), 4);
    let mut writer = OpenOptions::new().append(true).open(folder.path("deleted.log")).unwrap();
    fs::remove_file(folder.path("deleted.log")).unwrap();
    fs::rename(folder.path("moved.log"), elsewhere.path("moved.log")).unwrap();
    folder.rename("renamed.log", "renamed.log.1");
    assert!(look(&mut files, 0).is_empty());
    // Its writer has not noticed.
    writer.write_all(b"two\nthr").unwrap();
    assert_eq!(look(&mut files, 4), ["two"]);
    assert!(look(&mut files, 8).is_empty());
    assert_eq!(files.tails.len(), 3, "what was moved is left after five seconds");
    assert_eq!(look(&mut files, 10), ["thr"]);
    assert_eq!(files.tails.len(), 2);
    folder.append("renamed.log.1", "late\n");
    assert_eq!(look(&mut files, 60), ["late"]);
    // A name that comes back is that of a new file.
    folder.append("deleted.log", "again\n");
    assert_eq!(look(&mut files, 61), ["again"]);
    let open =
        fs::read_dir("/proc/self/fd").unwrap().flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let open: Vec<_> = open.filter(|path| path.starts_with(folder.0.path())).collect();
    assert!(!open.iter().any(|path| path.to_string_lossy().contains("moved")), "{open:?}");
}

#[test]
fn what_is_piped_in_is_read_to_its_end_beside_files() {
    let folder = Folder::new();
    folder.append("app.log", "of a file\n");
    let mut files = folder.follow("app.log").with_stream(&b"\xef\xbb\xbfone\ntwo\nthr"[..]);
    let mut lines = new(&mut files);
    files.wait_for_streams(|line| keep(line, &mut lines)).unwrap();
    assert_eq!(lines, ["of a file", "one", "two", "thr"]);
    assert!(!files.is_over());
    let mut files = Files::new([]).with_stream(io::empty());
    files.wait_for_streams(|_| Ok(())).unwrap();
    assert!(files.is_over());
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
