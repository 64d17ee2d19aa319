//! Tables of one line a row, so that `grep` and `cut` work on them; crates for tables wrap long cells.

use std::io::{self, Write};

use anstyle::{Effects, Style};
use unicode_width::UnicodeWidthStr;

use super::paint;
use super::text::{clean, fit};

/// The least that a column is cut to.
const LEAST_WIDTH: usize = 8;
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

/// A table with a heading. A column whose name begins with `>` is aligned to the right.
#[derive(Debug)]
pub(crate) struct Table {
    columns: Vec<(String, bool)>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table of these columns.
    pub(crate) fn new(columns: &[&str]) -> Self {
        let column = |name: &&str| match name.strip_prefix('>') {
            Some(name) => (name.to_owned(), true),
            None => ((*name).to_owned(), false),
        };
        Self { columns: columns.iter().map(column).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether it has no rows.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Writes the table, without columns that are empty in all rows. If it is wider than a terminal, the widest
    /// columns are cut.
    pub(super) fn write(&self, output: &mut dyn Write, room: Option<usize>, colour: bool) -> io::Result<()> {
        let cell = |row: &'_ [Cell], column: usize| row.get(column).cloned().unwrap_or_default();
        let shown: Vec<usize> = (0..self.columns.len())
            .filter(|&column| self.rows.iter().any(|row| !cell(row, column).text.is_empty()))
            .collect();
        let mut widths: Vec<usize> = shown
            .iter()
            .map(|&column| {
                let cells = self.rows.iter().map(|row| cell(row, column).text.width());
                cells.chain([self.columns[column].0.width()]).max().unwrap_or(0)
            })
            .collect();
        if let Some(room) = room {
            shrink(&mut widths, room);
        }
        let mut line = |cells: Vec<Cell>| {
            let mut text = String::new();
            for (at, cell) in cells.iter().enumerate() {
                let (width, is_last) = (widths[at], at + 1 == cells.len());
                let fitted = fit(&cell.text, width);
                let padding = " ".repeat(width - fitted.width());
                let painted = if colour { paint(&fitted, cell.style) } else { fitted.into_owned() };
                let is_right = self.columns[shown[at]].1;
                if is_right {
                    text.push_str(&padding);
                }
                text.push_str(&painted);
                if !is_last {
                    if !is_right {
                        text.push_str(&padding);
                    }
                    text.push_str(GAP);
                }
            }
            writeln!(output, "{}", text.trim_end())
        };
        line(
            shown
                .iter()
                .map(|&c| Cell::styled(&self.columns[c].0, Style::new().effects(Effects::DIMMED)))
                .collect(),
        )?;
        for row in &self.rows {
            line(shown.iter().map(|&column| cell(row, column)).collect())?;
        }
        Ok(())
    }
}

/// Takes from the widest columns until all fit, or nothing is left to take.
fn shrink(widths: &mut [usize], room: usize) {
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() + gaps > room {
        match widths.iter_mut().max() {
            Some(widest) if *widest > LEAST_WIDTH => *widest -= 1,
            _ => return,
        }
    }
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
        let mut table = Table::new(&["TYPE", ">COUNT", "EMPTY", "NOTE"]);
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
    fn a_narrow_terminal_cuts_the_widest_columns() {
        let shown = shown(&table(), Some(30));
        assert!(shown.lines().all(|line| line.width() <= 30), "{shown}");
        assert!(shown.contains("1200"), "{shown}");
    }
}
