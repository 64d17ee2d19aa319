//! The head of a table whose rows come in several pieces: it says what the columns are.

/// What may part the cells of a row.
const SEPARATORS: [char; 4] = ['\t', '|', ',', ';'];

/// A row without its cells: what parts them, and how often.
fn shape(line: &str) -> Option<(char, usize)> {
    let count = |separator: char| line.matches(separator).count();
    SEPARATORS.into_iter().map(|separator| (separator, count(separator))).find(|(_, count)| *count > 0)
}

/// The head of the table that a piece ends in, with its line end; it may stand in a piece before, with this head.
pub(super) fn head<'p>(piece: &'p str, before: Option<&'p str>) -> Option<&'p str> {
    let of_rows = shape(piece.lines().next_back()?)?;
    let mut first = None;
    for line in piece.split_inclusive('\n').rev() {
        if is_copy(line) {
            return Some(line);
        }
        if shape(line) != Some(of_rows) {
            return first;
        }
        first = Some(line);
    }
    before.or(first)
}

/// Whether a piece begins with a row of the table that has this head.
pub(super) fn goes_on(head: &str, piece: &str) -> bool {
    let of_row = piece.lines().next().and_then(shape);
    head.ends_with('\n')
        && (of_row == shape(head)
            || (is_copy(head) && of_row.is_some_and(|(separator, _)| separator == '\t')))
}

/// Whether a line begins the rows of a dump: `COPY users (id, password) FROM stdin;`.
fn is_copy(line: &str) -> bool {
    line.starts_with("COPY ") && line.contains(" FROM stdin")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_head_of_the_table_at_the_end_of_a_piece_is_known() {
        for (piece, before, known) in [
            ("user,pin\nada,1\nbob,2\n", None, Some("user,pin\n")),
            ("it starts\nuser,pin\nada,1\n", None, Some("user,pin\n")),
            ("carl,3\n", Some("user,pin\n"), Some("user,pin\n")),
            ("it ends\n", Some("user,pin\n"), None),
            ("a,b,c\nuser\tpin\nada\t1\n", None, Some("user\tpin\n")),
            ("COPY users (id, pin) FROM stdin;\n1\t2\n", None, Some("COPY users (id, pin) FROM stdin;\n")),
            ("", None, None),
        ] {
            assert_eq!(head(piece, before), known, "{piece}");
        }
        assert!(goes_on("user,pin\n", "ada,1\n") && !goes_on("user,pin\n", "ada,1,2\n"));
        assert!(goes_on("COPY users (id, pin) FROM stdin;\n", "1\t2\n"));
    }
}
