//! Tables of one line a row, so that `grep` and `cut` work on them; crates for tables wrap long cells.

use std::io::{self, Write};

use anstyle::{Effects, Style};
use unicode_width::UnicodeWidthStr;

use throughline_core::query::elide;

use super::paint;
use super::text::{clean, fit};

/// The least that a column is cut to.
const LEAST_WIDTH: usize = 8;
/// The least that a column is cut to while others can be left out.
const READABLE_WIDTH: usize = 24;
const GAP: &str = "  ";

/// A cell.
#[derive(Debug, Clone, Default)]
pub(crate) struct Cell {
    text: String,
    style: Style,
}

impl Cell {
    /// A cell in a style.
    pub(crate) fn styled(text: impl AsRef<str>, style: Style) -> Self {
        Self { text: clean(text.as_ref()).into_owned(), style }
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::styled(text, Style::new())
    }
}

/// A table with a heading.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
    /// Columns that are left out, in this order, before others become too narrow to be read.
    left_out_first: Vec<usize>,
}

#[derive(Debug)]
struct Column {
    name: String,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Never cut: half an id is no id.
    Whole,
    /// Never cut, and aligned to the right.
    Number,
    /// A name: without its middle where a terminal is narrow, for names often differ at the end.
    Name,
    /// A text: cut where a terminal is narrow.
    Text,
}

impl Table {
    /// A table of these columns. One whose name begins with `>` is aligned to the right; one with `~` has names, which may be
    /// shown without their middle, and one with `<` texts, which may be cut.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let column = |name: &&str| {
            let layouts = [('>', Layout::Number), ('~', Layout::Name), ('<', Layout::Text)];
            let marked =
                layouts.into_iter().find_map(|(mark, layout)| Some((name.strip_prefix(mark)?, layout)));
            let (name, layout) = marked.unwrap_or((name, Layout::Whole));
            Column { name: name.to_owned(), layout }
        };
        Self { columns: columns.iter().map(column).collect(), rows: Vec::new(), left_out_first: Vec::new() }
    }

    /// Says which columns are left out, in this order, before others become too narrow to be read.
    pub(crate) fn leave_out_first(&mut self, names: &[&str]) {
        let place = |name: &&str| self.columns.iter().position(|column| column.name == *name);
        self.left_out_first = names.iter().filter_map(place).collect();
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The lines of the table as it is without colours and where it is never too wide.
    pub(crate) fn lines(&self) -> Vec<String> {
        let shown = self.shown();
        let heading = |column: usize| Cell::from(&self.columns[column].name);
        let rows = self.rows.iter().map(|row| self.line(&shown, false, |column| cell(row, column)));
        [self.line(&shown, false, heading)].into_iter().chain(rows).collect()
    }

    /// The columns that are not empty in all rows, and how wide they are.
    fn shown(&self) -> Vec<(usize, usize)> {
        let columns = (0..self.columns.len())
            .filter(|&column| self.rows.iter().any(|row| !cell(row, column).text.is_empty()));
        columns.map(|column| (column, self.width(column))).collect()
    }

    /// Writes the table, without columns that are empty in all rows. If it is wider than a terminal, flexible
    /// columns are cut, and where that does not do, left out from the right.
    pub(super) fn write(&self, output: &mut dyn Write, room: Option<usize>, colour: bool) -> io::Result<()> {
        let mut shown = self.shown();
        if let Some(room) = room {
            self.fit(&mut shown, room);
        }
        let heading =
            |column: usize| Cell::styled(&self.columns[column].name, Style::new().effects(Effects::DIMMED));
        writeln!(output, "{}", self.line(&shown, colour, heading))?;
        for row in &self.rows {
            writeln!(output, "{}", self.line(&shown, colour, |column| cell(row, column)))?;
        }
        Ok(())
    }

    /// How wide a column would be.
    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().map(|row| cell(row, column).text.width());
        cells.chain([self.columns[column].name.width()]).max().unwrap_or(0)
    }

    /// Leaves out columns, those first that are to be left out first, until the others are wide enough to be read; then takes
    /// from the widest flexible columns until all fit.
    fn fit(&self, shown: &mut Vec<(usize, usize)>, room: usize) {
        for out in &self.left_out_first {
            let readable = |(column, width): &(usize, usize)| match self.is_flexible(*column) {
                true => (*width).min(READABLE_WIDTH),
                false => *width,
            };
            if needed(shown.iter().map(readable)) <= room {
                break;
            }
            shown.retain(|(column, _)| column != out);
        }
        while needed(shown.iter().map(|(_, width)| *width)) > room {
            let flexible = shown.iter_mut().filter(|(column, _)| self.is_flexible(*column));
            if let Some((_, widest)) = flexible.max_by_key(|(_, width)| *width)
                && *widest > LEAST_WIDTH
            {
                *widest -= 1;
            } else if let Some(last) = shown.iter().rposition(|(column, _)| self.is_flexible(*column)) {
                shown.remove(last);
            } else {
                return;
            }
        }
    }

    fn is_flexible(&self, column: usize) -> bool {
        matches!(self.columns[column].layout, Layout::Name | Layout::Text)
    }

    fn line(&self, shown: &[(usize, usize)], colour: bool, cell: impl Fn(usize) -> Cell) -> String {
        let mut line = String::new();
        for (at, &(column, width)) in shown.iter().enumerate() {
            let Cell { text, style } = cell(column);
            let fitted = match self.columns[column].layout {
                Layout::Text => fit(&text, width),
                _ => elide(&text, width),
            };
            let padding = " ".repeat(width - fitted.width());
            let painted = if colour { paint(&fitted, style) } else { fitted.into_owned() };
            let is_last = at + 1 == shown.len();
            match self.columns[column].layout {
                Layout::Number => line.extend([&*padding, &painted]),
                // No spaces at the end of a line.
                _ if is_last => line.push_str(&painted),
                _ => line.extend([&*painted, &padding]),
            }
            if !is_last {
                line.push_str(GAP);
            }
        }
        line.truncate(line.trim_end().len());
        line
    }
}

/// How wide columns of these widths are together.
fn needed(widths: impl Iterator<Item = usize> + Clone) -> usize {
    widths.clone().sum::<usize>() + GAP.len() * widths.count().saturating_sub(1)
}

fn cell(row: &[Cell], column: usize) -> Cell {
    row.get(column).cloned().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(table: &Table, room: Option<usize>) -> String {
        let mut output = Vec::new();
        table.write(&mut output, room, false).unwrap();
        String::from_utf8(output).unwrap()
    }

    fn table() -> Table {
        let mut table = Table::new(&["~TYPE", ">COUNT", "EMPTY", "<NOTE"]);
        table.row(["stage:prüfung".into(), "7".into(), Cell::default(), "first of all the notes".into()]);
        table.row(["stage:漢".into(), "1200".into(), Cell::default(), "b\u{1b}[0m".into()]);
        table
    }

    #[test]
    fn columns_are_aligned_and_empty_ones_left_out() {
        insta::assert_snapshot!(shown(&table(), None), @r"
        TYPE           COUNT  NOTE
        stage:prüfung      7  first of all the notes
        stage:漢        1200  b\u{1b}[0m
        ");
    }

    #[test]
    fn a_narrow_terminal_leaves_out_what_matters_least_before_texts_are_too_short_to_be_read() {
        let mut table = Table::new(&["ID", "~KEY", "STARTED", "<CAUSE"]);
        table.leave_out_first(&["STARTED", "ID"]);
        let cause = "stage:charge: the card was declined by the bank";
        table.row(["0190a7f3c2b1d4e5".into(), "order-7".into(), "2026-03-01 09:30:00".into(), cause.into()]);
        let heading = |room| shown(&table, Some(room)).lines().next().unwrap().to_owned();
        let columns = |room| heading(room).split_whitespace().collect::<Vec<_>>().join(" ");
        assert_eq!(columns(100), "ID KEY STARTED CAUSE");
        assert_eq!(columns(60), "ID KEY CAUSE");
        assert_eq!(columns(50), "KEY CAUSE");
        assert!(shown(&table, Some(50)).contains("stage:charge: the card was declined by"));
    }

    #[test]
    fn a_narrow_terminal_cuts_texts_and_then_leaves_them_out_but_never_numbers() {
        let at_30 = shown(&table(), Some(30));
        assert!(at_30.lines().all(|line| line.width() <= 30), "{at_30}");
        assert!(at_30.contains("NOTE") && at_30.contains("1200"), "{at_30}");
        let at_20 = shown(&table(), Some(20));
        assert!(!at_20.contains("NOTE") && at_20.contains("1200"), "{at_20}");
        assert!(shown(&table(), Some(1)).contains("1200"));
    }
}
