//! A compensation ledger as text.

use super::printer::{Line, Printer};
use super::style::{Emphasis, Style};
use super::text;
use crate::{CompensationEntry, CompensationLedger, CompensationState, SagaCompensation};

/// Where the name of a step begins in an entry.
const NAME: usize = 18;

impl CompensationLedger {
    /// The ledger as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        printer.head(self.run.as_ref());
        if self.run.is_none() {
            return printer.finish();
        }
        if self.is_empty() {
            printer.put(printer.line());
            printer.say(Emphasis::Good, "✓ nothing had to be undone");
        }
        for saga in self.sagas.iter().filter(|saga| !saga.entries.is_empty()) {
            printer.put(printer.line());
            write_saga(&mut printer, saga);
        }
        if !self.unmatched.is_empty() {
            printer.heading("Unmatched compensations");
            for compensation in self.unmatched.iter().take(style.max_rows()) {
                let mut line = printer.line();
                line.pad(2).push_state(compensation).push_span(compensation);
                line.push(Emphasis::Dim, &format!("  {}", text::offset(compensation.offset_us)));
                printer.put(line);
                if let Some(error) = &compensation.error {
                    printer.error(4, error);
                }
            }
        }
        printer.problems(&self.problems);
        printer.finish()
    }
}

/// One saga: the tally, what stands, the steps, what was left behind.
pub(super) fn write_saga(printer: &mut Printer<'_>, saga: &SagaCompensation) {
    let (mark, emphasis) = mark(saga);
    let mut line = printer.line();
    line.push(emphasis, mark);
    line.push(Emphasis::Heading, saga.saga.as_ref().map_or("without a saga", |saga| &saga.name));
    line.push(emphasis, ": ").push(emphasis, &tally(saga));
    if let Some(began) = saga.began_offset_us {
        line.push(Emphasis::Dim, &format!(", started at {}", text::offset(began)));
    }
    if let Some(took) = saga.took_us {
        line.push(Emphasis::Dim, &format!(", took {}", text::duration(took)));
    }
    printer.put(line);
    let standing = saga.in_state(CompensationState::Standing).count();
    if standing > 0 {
        let stand = if standing == 1 { "stands" } else { "stand" };
        let what = if saga.can_be_resumed { "resume or undo" } else { "undo" };
        printer.say(Emphasis::Warn, &format!("  {} {stand}: {what}", text::count(standing, "step")));
    }

    let shown = saga.entries.len().min(printer.style.max_rows());
    let names = saga.entries[..shown].iter().map(|entry| text::width(&entry.step.name)).max();
    let names = names.unwrap_or(0).clamp(8, printer.style.columns() / 3);
    for entry in &saga.entries[..shown] {
        write_entry(printer, entry, NAME + names);
    }
    if shown < saga.entries.len() {
        printer.say(Emphasis::Dim, &format!("  ⋮ {}", text::more(saga.entries.len() - shown, "step")));
    }
    for orphan in saga.orphaned.iter().take(printer.style.max_rows()) {
        let mut line = printer.line();
        line.push(Emphasis::Bad, "  orphaned: ");
        match &orphan.resource {
            Some(resource) => line
                .push(Emphasis::Bad, resource)
                .push(Emphasis::Dim, " of ")
                .push(Emphasis::Dim, &orphan.step_name),
            None => line
                .push(Emphasis::Normal, "what ")
                .push(Emphasis::Normal, &orphan.step_name)
                .push(Emphasis::Normal, " did"),
        };
        printer.put(line);
    }
}

/// The worst that is to be said of a saga.
fn mark(saga: &SagaCompensation) -> (&'static str, Emphasis) {
    let has = |state| saga.in_state(state).next().is_some();
    let is_underway = saga.entries.iter().any(|entry| entry.state.is_underway());
    match saga.orphaned.is_empty() {
        _ if saga.is_clean() => ("✓ ", Emphasis::Good),
        true if is_underway => ("● ", Emphasis::Live),
        true if has(CompensationState::OutOfOrder) => ("✗ ", Emphasis::Bad),
        true if has(CompensationState::Standing) => ("! ", Emphasis::Warn),
        true => ("? ", Emphasis::Warn),
        false => ("✗ ", Emphasis::Bad),
    }
}

/// How many steps were undone, and how many may have to be.
fn tally(saga: &SagaCompensation) -> String {
    let count = |state| saga.in_state(state).count();
    let (standing, in_doubt) = (count(CompensationState::Standing), count(CompensationState::InDoubt));
    let owed = saga.entries.len() - in_doubt;
    let undone = saga.entries.iter().filter(|entry| entry.state.is_undone()).count();
    let (steps, doubtful) = (text::count(owed, "step"), text::count(in_doubt, "step"));
    let done = match (undone, owed) {
        (0, 1) => format!("{steps} not undone"),
        (0, _) => format!("none of {steps} undone"),
        _ if undone == owed => format!("{steps} undone"),
        _ => format!("{undone} of {steps} undone"),
    };
    match (&saga.saga, in_doubt) {
        _ if owed == 0 => format!("{doubtful} in doubt"),
        // Nothing has been tried yet: what is to be said is why the steps stand.
        (Some(owner), 0) if standing == owed && saga.began.is_none() => owner.state.to_string(),
        (Some(owner), _) if standing == owed && saga.began.is_none() => {
            format!("{}, {doubtful} in doubt", owner.state)
        }
        (_, 0) => done,
        _ => format!("{done}, {in_doubt} in doubt"),
    }
}

/// One entry; the names of steps end at a column.
fn write_entry(printer: &mut Printer<'_>, entry: &CompensationEntry, names_end: usize) {
    let (mark, emphasis) = match entry.state {
        CompensationState::Compensated => ("✓", Emphasis::Good),
        CompensationState::OutOfOrder => ("↕", Emphasis::Warn),
        CompensationState::Running => ("●", Emphasis::Live),
        CompensationState::Waiting => ("○", Emphasis::Dim),
        CompensationState::Interrupted => ("!", Emphasis::Warn),
        CompensationState::Failed => ("✗", Emphasis::Bad),
        CompensationState::Missing => ("✗", Emphasis::Bad),
        CompensationState::Standing => ("■", Emphasis::Warn),
        CompensationState::InDoubt => ("?", Emphasis::Warn),
    };
    let mut line = printer.line();
    line.pad(2).push(emphasis, mark).push(emphasis, " ").push(emphasis, entry.state.as_str()).pad_to(NAME);
    line.within(names_end, |line: &mut Line| {
        line.push(Emphasis::Normal, &entry.step.name);
    });
    line.pad_to(names_end);
    if let Some(compensation) = &entry.compensation {
        line.push_right(Emphasis::Dim, &text::offset(compensation.offset_us), 11);
        let took = compensation.duration_us.map_or_else(String::new, text::duration);
        line.push_right(Emphasis::Normal, &took, 10);
        if entry.attempts > 1 {
            line.push(Emphasis::Dim, &format!("  {} attempts", entry.attempts));
        }
    }
    if let Some(resource) = &entry.resource {
        line.pad_to(names_end + 21).push(Emphasis::Dim, "  ").push(Emphasis::Dim, resource);
    }
    printer.put(line);
    if let Some(error) = entry.compensation.as_ref().and_then(|span| span.error.as_ref()) {
        printer.error(NAME, error);
    }
    if let Some(later) = &entry.should_follow {
        let before = if entry.state.is_undone() { "undone before " } else { "tried before " };
        let mut line = printer.line();
        line.pad(NAME).push(Emphasis::Warn, before).push(Emphasis::Warn, &later.name);
        line.push(Emphasis::Warn, ", which ran after it");
        printer.put(line);
    }
}
