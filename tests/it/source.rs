//! Rust source as the tests of the workspace's shape read it: as text, without a compiler.

use std::path::{Path, PathBuf};

/// A path in the source, as in `crate::store::Page` or, of a re-export, `throughline_model::Page`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Import {
    /// Whether it is a `pub use`; `pub(crate)` and its like do not count.
    pub(crate) is_public: bool,
    /// From the first segment to the last, a glob as `*`.
    pub(crate) path: Vec<String>,
    /// The name by which it is known here.
    pub(crate) name: String,
}

/// The folder of a crate of the workspace.
pub(crate) fn crate_folder(package: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("crates").join(package)
}

/// Every Rust file below a folder, in the order of their paths.
pub(crate) fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// The source without comments, and with nothing in its texts.
pub(crate) fn code(source: &str) -> String {
    let bytes = source.as_bytes();
    let mut kept = String::with_capacity(source.len());
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let after_name = kept.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        if rest.starts_with("//") {
            at += rest.find('\n').unwrap_or(rest.len());
        } else if rest.starts_with("/*") {
            at += block_comment(rest);
        } else if let Some(length) = raw_text(rest).filter(|_| !after_name) {
            kept.push_str("\"\"");
            at += length;
        } else if rest.starts_with('"') {
            kept.push_str("\"\"");
            at += text(rest, '"');
        } else if rest.starts_with('\'') && is_character(rest) {
            kept.push_str("' '");
            at += text(rest, '\'');
        } else {
            let next = rest.chars().next().unwrap();
            kept.push(next);
            at += next.len_utf8();
        }
    }
    kept
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    loop {
        match rest.as_bytes().get(at..at + 2) {
            Some(b"/*") => (depth, at) = (depth + 1, at + 2),
            Some(b"*/") if depth == 1 => return at + 2,
            Some(b"*/") => (depth, at) = (depth - 1, at + 2),
            Some(_) => at += 1,
            None => return rest.len(),
        }
    }
}

/// The length of a raw text that begins here, as in `r#".."#`.
fn raw_text(rest: &str) -> Option<usize> {
    let opened = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'))?;
    let hashes = opened.len() - opened.trim_start_matches('#').len();
    let inside = opened[hashes..].strip_prefix('"')?;
    let end = inside.find(&format!("\"{}", "#".repeat(hashes)))?;
    Some(rest.len() - inside.len() + end + 1 + hashes)
}

/// The length of a text or a character that begins here.
fn text(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, next) in rest.char_indices().skip(1) {
        match next {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if next == quote => return at + next.len_utf8(),
            _ => {}
        }
    }
    rest.len()
}

/// Whether an apostrophe begins a character rather than a lifetime.
fn is_character(rest: &str) -> bool {
    let mut inside = rest.chars().skip(1);
    inside.next().is_some_and(|first| first == '\\' || inside.next() == Some('\''))
}

/// The code without the modules that only tests compile.
pub(crate) fn without_tests(code: &str) -> String {
    let mut kept = String::with_capacity(code.len());
    let mut rest = code;
    while let Some((before, after)) = rest.split_once("#[cfg(test)]") {
        kept.push_str(before);
        // An item ends with its block, or without one at the semicolon.
        let end = after.find(['{', ';']).unwrap_or(after.len().saturating_sub(1));
        rest = match after.as_bytes().get(end) {
            Some(b'{') => &after[end + block(&after[end..])..],
            _ => after.get(end + 1..).unwrap_or_default(),
        };
    }
    kept + rest
}

/// The length of a block that begins here.
fn block(rest: &str) -> usize {
    let mut depth = 0usize;
    for (at, next) in rest.char_indices() {
        match next {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    rest.len()
}

/// Everything that the `use` declarations of some code name.
pub(crate) fn imports(code: &str) -> Vec<Import> {
    let mut found = Vec::new();
    for declaration in code.split(';') {
        // What stands before it: attributes, the end of the item before.
        let Some((before, tree)) = declaration.rsplit_once("use ") else { continue };
        let before = before.trim_end();
        if !(before.is_empty() || before.ends_with(['}', '{', ']', ')']) || before.ends_with("pub")) {
            continue;
        }
        let is_public = before.ends_with("pub");
        leaves(&[], tree.trim(), &mut |path| {
            let mut path = path.to_vec();
            let mut name = path.last().cloned().unwrap_or_default();
            if let Some((original, renamed)) = name.clone().split_once(" as ") {
                renamed.trim().clone_into(&mut name);
                path.pop();
                path.push(original.trim().to_owned());
            }
            if path.last().is_some_and(|last| last == "self") {
                path.pop();
                if name == "self" {
                    name = path.last().cloned().unwrap_or_default();
                }
            }
            found.push(Import { is_public, path, name });
        });
    }
    found
}

/// Calls back for each path of a tree such as `a::{b, c::{d, e as f}}`.
fn leaves(prefix: &[String], tree: &str, leaf: &mut impl FnMut(&[String])) {
    let mut path = prefix.to_vec();
    let (plain, group) = match tree.split_once('{') {
        Some((plain, group)) => (plain, group.trim_end().strip_suffix('}')),
        None => (tree, None),
    };
    path.extend(plain.split("::").map(str::trim).filter(|segment| !segment.is_empty()).map(str::to_owned));
    let Some(group) = group else { return leaf(&path) };
    let (mut depth, mut from) = (0, 0);
    for (at, next) in group.char_indices() {
        match next {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                leaves(&path, group[from..at].trim(), leaf);
                from = at + 1;
            }
            _ => {}
        }
    }
    if !group[from..].trim().is_empty() {
        leaves(&path, group[from..].trim(), leaf);
    }
}

#[test]
fn comments_and_texts_are_not_taken_for_code() {
    let source = r##"
        // use crate::comment;
        /* use crate::block; /* nested */ */
        const TEXT: &str = "use crate::text; \" //";
        const RAW: &str = r#"use "crate"::raw;"#;
        fn f<'a>(quote: &'a char) -> bool { *quote == '\'' || *quote == '"' }
        use crate::real;
    "##;
    let code = code(source);
    for gone in ["comment", "block", "nested", "text;", "raw;"] {
        assert!(!code.contains(gone), "{gone}: {code}");
    }
    assert_eq!(
        imports(&code).iter().map(|import| import.path.join("::")).collect::<Vec<_>>(),
        ["crate::real"]
    );
}

#[test]
fn groups_renamings_and_visibility_of_imports_are_read() {
    let code = "mod a; pub use one::{two, three::{self, four as five}, *,}; pub(crate) use six::Seven; \
                #[cfg(x)]\nuse crate::eight::Nine as _; fn because() {}";
    let read: Vec<_> = imports(code)
        .into_iter()
        .map(|import| (import.is_public, import.path.join("::"), import.name))
        .collect();
    let expected = [
        (true, "one::two", "two"),
        (true, "one::three", "three"),
        (true, "one::three::four", "five"),
        (true, "one::*", "*"),
        (false, "six::Seven", "Seven"),
        (false, "crate::eight::Nine", "_"),
    ];
    let expected = expected.map(|(public, path, name)| (public, path.to_owned(), name.to_owned()));
    assert_eq!(read, expected);
}

#[test]
fn what_only_tests_compile_is_left_out() {
    let code = "use a::A; #[cfg(test)] mod tests; fn f() {} #[cfg(test)] mod inline { use b::B; fn g() {} } use c::C;";
    let left = without_tests(code);
    assert!(left.contains("a::A") && left.contains("c::C") && left.contains("fn f"), "{left}");
    assert!(!left.contains("tests") && !left.contains("b::B"), "{left}");
}
