//! A compensation ledger as text.

use super::page::{Line, Page};
use super::style::{Ink, Style};
use super::text;
use crate::{CompensationEntry, CompensationLedger, CompensationState, SagaCompensation};

/// Where the name of a step begins in an entry.
const NAME: usize = 18;

impl CompensationLedger {
    /// The ledger as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut page = Page::new(style);
        page.head(self.run.as_ref());
        if self.run.is_none() {
            return page.finish();
        }
        if self.is_empty() {
            page.put(page.line());
            page.say(Ink::Good, "✓ nothing had to be undone");
        }
        for saga in self.sagas.iter().filter(|saga| !saga.entries.is_empty()) {
            page.put(page.line());
            write_saga(&mut page, saga);
        }
        if !self.strays.is_empty() {
            page.heading("Compensations of nothing known");
            for stray in self.strays.iter().take(style.max_rows()) {
                let mut line = page.line();
                line.pad(2).push_state(stray).push_span(stray);
                line.push(Ink::Dim, &format!("  {}", text::offset(stray.offset_us)));
                page.put(line);
            }
        }
        page.problems(&self.problems);
        page.finish()
    }
}

/// One saga: the tally, the steps, what was left behind.
pub(super) fn write_saga(page: &mut Page<'_>, saga: &SagaCompensation) {
    let undone = saga.entries.iter().filter(|entry| entry.state.is_undone()).count();
    let mut line = page.line();
    let underway = saga.orphaned.is_empty() && saga.entries.iter().any(|entry| entry.state.is_underway());
    let (mark, ink) = match saga.is_clean() {
        true => ("✓ ", Ink::Good),
        false if underway => ("● ", Ink::Live),
        false => ("✗ ", Ink::Bad),
    };
    line.push(ink, mark);
    line.push(Ink::Heading, saga.saga.as_ref().map_or("without a saga", |saga| &saga.name));
    let steps = text::count(saga.entries.len(), "step");
    line.push(
        ink,
        &match undone {
            0 => format!(": none of {steps} undone"),
            _ if undone == saga.entries.len() => format!(": {steps} undone"),
            _ => format!(": {undone} of {steps} undone"),
        },
    );
    if let Some(began) = saga.began_offset_us {
        line.push(Ink::Dim, &format!(", begun at {}", text::offset(began)));
    }
    if let Some(took) = saga.took_us {
        line.push(Ink::Dim, &format!(", took {}", text::duration(took)));
    }
    page.put(line);

    let shown = saga.entries.len().min(page.style.max_rows());
    let names = saga.entries[..shown].iter().map(|entry| text::width(&entry.step.name)).max();
    let names = names.unwrap_or(0).clamp(8, page.style.columns() / 3);
    for entry in &saga.entries[..shown] {
        write_entry(page, entry, NAME + names);
    }
    if shown < saga.entries.len() {
        page.say(Ink::Dim, &format!("  ⋮ {}", text::more(saga.entries.len() - shown, "step")));
    }
    for orphan in saga.orphaned.iter().take(page.style.max_rows()) {
        let mut line = page.line();
        line.push(Ink::Bad, "  orphaned: ");
        match &orphan.resource {
            Some(resource) => {
                line.push(Ink::Bad, resource).push(Ink::Dim, " of ").push(Ink::Dim, &orphan.step_name)
            }
            None => {
                line.push(Ink::Normal, "what ").push(Ink::Normal, &orphan.step_name).push(Ink::Normal, " did")
            }
        };
        page.put(line);
    }
}

/// One entry; the names of steps end at a column.
fn write_entry(page: &mut Page<'_>, entry: &CompensationEntry, names_end: usize) {
    let (mark, ink) = match entry.state {
        CompensationState::Compensated => ("✓", Ink::Good),
        CompensationState::OutOfOrder => ("↕", Ink::Warn),
        CompensationState::Running => ("●", Ink::Live),
        CompensationState::Waiting => ("○", Ink::Dim),
        CompensationState::Interrupted => ("!", Ink::Warn),
        CompensationState::Failed => ("✗", Ink::Bad),
        CompensationState::Missing => ("✗", Ink::Bad),
    };
    let mut line = page.line();
    line.pad(2).push(ink, mark).push(ink, " ").push(ink, entry.state.as_str()).pad_to(NAME);
    line.within(names_end, |line: &mut Line| {
        line.push(Ink::Normal, &entry.step.name);
    });
    line.pad_to(names_end);
    if let Some(compensation) = &entry.compensation {
        line.push_right(Ink::Dim, &text::offset(compensation.offset_us), 11);
        let took = compensation.duration_us.map_or_else(String::new, text::duration);
        line.push_right(Ink::Normal, &took, 10);
        if entry.attempts > 1 {
            line.push(Ink::Dim, &format!("  {} attempts", entry.attempts));
        }
    }
    if let Some(resource) = &entry.resource {
        line.pad_to(names_end + 21).push(Ink::Dim, "  ").push(Ink::Dim, resource);
    }
    page.put(line);
    if let Some(error) = entry.compensation.as_ref().and_then(|span| span.error.as_ref()) {
        let mut line = page.line();
        line.pad(NAME).push_error(error);
        page.put(line);
    }
    if let Some(later) = &entry.should_follow {
        let mut line = page.line();
        line.pad(NAME).push(Ink::Warn, "undone before ").push(Ink::Warn, &later.name);
        line.push(Ink::Warn, ", which came after it");
        page.put(line);
    }
}
