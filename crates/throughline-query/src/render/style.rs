//! [`Style`]: how an answer is to be written.

use anstyle::{AnsiColor, Effects};

use throughline_model::RunState;

/// How to write an answer as text. Nothing is found out about terminals: the caller says what it knows.
///
/// ```
/// use throughline_query::Style;
/// let style = Style::ansi().width(120);
/// # let _ = style;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    ansi: bool,
    width: usize,
    rows: usize,
    page: usize,
}

impl Style {
    /// Text without colours, 100 columns wide, at most 200 rows to a tree or a timeline and 50 lines to an explanation.
    pub const fn plain() -> Self {
        Self { ansi: false, width: 100, rows: 200, page: 50 }
    }

    /// The same with ANSI colours.
    pub const fn ansi() -> Self {
        Self { ansi: true, ..Self::plain() }
    }

    /// So many columns; less than 40 are taken as 40.
    #[must_use]
    pub const fn width(self, columns: usize) -> Self {
        Self { width: if columns < 40 { 40 } else { columns }, ..self }
    }

    /// So many rows at most to one tree, timeline or list; what is left out is counted. Failures and what is still
    /// open are left out last. Less than 5 are taken as 5.
    #[must_use]
    pub const fn rows(self, rows: usize) -> Self {
        Self { rows: if rows < 5 { 5 } else { rows }, ..self }
    }

    /// So many lines at most to an explanation, whose lists are cut to that; less than 20 are taken as 20. The answer itself
    /// and the errors behind it are never cut.
    #[must_use]
    pub const fn page(self, lines: usize) -> Self {
        Self { page: if lines < 20 { 20 } else { lines }, ..self }
    }

    /// As many lines and rows as there are: nothing is left out.
    #[must_use]
    pub const fn full(self) -> Self {
        Self { page: usize::MAX, rows: usize::MAX, ..self }
    }

    pub(super) const fn lines(&self) -> usize {
        self.page
    }

    /// How many columns there are.
    pub const fn columns(&self) -> usize {
        self.width
    }

    pub(super) const fn max_rows(&self) -> usize {
        self.rows
    }

    /// Writes a text, which must be [escaped](crate::is_unsafe) already.
    pub fn paint(&self, emphasis: Emphasis, text: &str, out: &mut String) {
        use std::fmt::Write as _;
        let style = emphasis.style();
        // Writing to a string does not fail.
        let _ = match self.ansi && emphasis != Emphasis::Normal {
            true => write!(out, "{}{text}{}", style.render(), style.render_reset()),
            false => out.write_str(text),
        };
    }
}

impl Default for Style {
    fn default() -> Self {
        Self::plain()
    }
}

/// What a piece of text is, which says how it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Emphasis {
    /// Text as it is.
    Normal,
    /// What stands above.
    Heading,
    /// What is looked at last.
    Dim,
    /// What succeeded.
    Good,
    /// What failed.
    Bad,
    /// What is worth a look.
    Warn,
    /// What is going on, and how much there is of something.
    Live,
}

impl Emphasis {
    const fn style(self) -> anstyle::Style {
        let plain = anstyle::Style::new();
        match self {
            Self::Normal => plain,
            Self::Heading => plain.bold(),
            Self::Dim => plain.effects(Effects::DIMMED),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Warn => AnsiColor::Yellow.on_default(),
            Self::Live => AnsiColor::Cyan.on_default(),
        }
    }

    pub(super) const fn of(state: RunState) -> Self {
        match state {
            RunState::Succeeded => Self::Good,
            RunState::Failed => Self::Bad,
            RunState::Cancelled | RunState::Interrupted => Self::Warn,
            RunState::Running => Self::Live,
            RunState::Unfinished => Self::Dim,
        }
    }
}
