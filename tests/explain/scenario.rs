//! A failure that is played, and what is asked of it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::checker::Events;
use futures_util::FutureExt as _;
use throughline::context::CancelledBy;
use throughline::event::{Relation, Timestamp, TraceEvent};
use throughline::query::{Explanation, Liveness, RunSummary, Style, TraceQuery};
use throughline::store::{Filter, Page};
use throughline::{MemoryStore, Throughline, TraceContext};

pub(crate) type Run = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// How a run comes about.
pub(crate) enum Story {
    /// It is run.
    Run(fn(TraceContext) -> Run),
    /// It is dropped once nothing more happens in it, for this reason.
    Dropped(fn(TraceContext) -> Run, CancelledBy),
    /// It is run after a few good runs of the same workflow, and compared with them.
    Compared { good: fn(TraceContext) -> Run, bad: fn(TraceContext) -> Run },
    /// Its events are told, because a process would have to die for them.
    Told(fn() -> TraceQuery),
}

macro_rules! body {
    (|$ctx:ident| $body:block) => {
        |$ctx| Box::pin(async move $body)
    };
}
macro_rules! run {
    (|$ctx:ident| $body:block) => {
        $crate::scenario::Story::Run($crate::scenario::body!(|$ctx| $body))
    };
}
pub(crate) use {body, run};

/// A failure, and what has to be said of it.
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    pub(crate) story: Story,
    /// The name of the span that is the origin.
    pub(crate) origin: &'static str,
    /// What the page has to say as well.
    pub(crate) says: &'static [&'static str],
}

/// A scenario that was played.
pub(crate) struct Played {
    pub(crate) query: TraceQuery,
    /// The good runs that it was compared with.
    pub(crate) good: Vec<TraceQuery>,
    pub(crate) explanation: Explanation,
    pub(crate) summary: RunSummary,
}

impl Scenario {
    pub(crate) async fn play(&self) -> Played {
        let (query, summary, good) = match self.story {
            Story::Told(told) => {
                let query = told();
                let summary = query.summary().unwrap();
                (query, summary, Vec::new())
            }
            Story::Run(story) => Self::record(story, None, None).await,
            Story::Dropped(story, reason) => Self::record(story, None, Some(reason)).await,
            Story::Compared { good, bad } => Self::record(bad, Some(good), None).await,
        };
        let mut explanation = query.explain();
        if let Some(comparison) = query.compare(&good, Timestamp::now()) {
            explanation.add_comparison(&comparison);
        }
        Played { query, good, explanation, summary }
    }

    async fn record(
        story: fn(TraceContext) -> Run,
        good: Option<fn(TraceContext) -> Run>,
        dropped: Option<CancelledBy>,
    ) -> (TraceQuery, RunSummary, Vec<TraceQuery>) {
        let throughline = Throughline::builder("shop").store(MemoryStore::new()).build().unwrap();
        let order = |key| throughline.workflow("order").key(key);
        let keys = ["order-1", "order-2", "order-3"];
        for (good, key) in good.iter().flat_map(|good| keys.map(|key| (good, key))) {
            order(key).run(good).await.unwrap().unwrap();
        }
        let mut run = Box::pin(order("order-7").run(story));
        match dropped {
            None => drop(run.await.unwrap()),
            // Without a store that is waited for, one poll leads to where it waits.
            Some(reason) => {
                assert!(run.as_mut().now_or_never().is_none(), "it waits");
                reason.while_dropping(|| drop(run));
            }
        }
        let _ = throughline.flush(Duration::from_secs(10)).await;
        let reader = throughline.reader().unwrap();
        let mut queries = Vec::new();
        let mut summary = None;
        for key in ["order-7"].into_iter().chain(keys) {
            let found = reader.runs(&Filter::new().correlation_id(key), &Page::first(1)).await.unwrap();
            if let Some(run) = found.items.into_iter().next() {
                queries.push(TraceQuery::read(&*reader, run.trace_id).await.unwrap());
                summary.get_or_insert(run);
            }
        }
        (queries.remove(0), summary.unwrap(), queries)
    }
}

impl Played {
    /// The same as an import or an earlier version has it: without links to what brought a span down,
    /// or failed beside it.
    pub(crate) fn without_links(&self) -> Self {
        let mut events: Vec<TraceEvent> =
            self.query.spans().flat_map(|span| span.events().cloned()).collect();
        for event in &mut events {
            event.links.retain(|link| !matches!(link.rel, Relation::FailedBy | Relation::Beside));
        }
        let query = TraceQuery::new(events).with_liveness(|_| Liveness::Dead);
        Self { explanation: query.explain(), query, good: Vec::new(), summary: self.summary.clone() }
    }

    /// All events that a verdict may name.
    pub(crate) fn events(&self) -> Events<'_> {
        let queries = [&self.query].into_iter().chain(&self.good);
        let events =
            queries.flat_map(|query| query.spans().flat_map(|span| span.events().collect::<Vec<_>>()));
        events.map(|event| (event.id().to_string(), event)).collect()
    }

    pub(crate) fn page(&self) -> String {
        self.explanation.render(&Style::plain())
    }

    /// The page says of a step that it took long, which it does on a machine that is busy and not in its story.
    pub(crate) fn is_disturbed(&self, scenario: &Scenario) -> bool {
        let is_in_story =
            |line: &str| scenario.says.iter().any(|said| said.ends_with(": ") && line.contains(said));
        self.page().lines().any(|line| line.contains(" usually, ") && !is_in_story(line))
    }

    pub(crate) fn names_origin(&self, scenario: &Scenario) -> bool {
        self.explanation.cause.as_ref().is_some_and(|cause| cause.span.name == scenario.origin)
    }

    pub(crate) fn says_it_all(&self, scenario: &Scenario) -> bool {
        let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
        let page = words(&self.page());
        scenario.says.iter().all(|said| page.contains(&words(said)))
    }
}

/// Compares a page with the one before, but for times and ids.
pub(crate) fn assert_page(name: &str, page: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.add_filter(r"trace [0-9a-f]{32} · started \S+", "trace ID · started TIME");
    settings.add_filter(r" *\b\d+(\.\d+)? (µs|ms|s)\b", " T");
    settings.add_filter(r"\+ ?(\d+(\.\d+)? (µs|ms|s)\b|T|0\b)", "+T");
    // In a column of times, each is as far to the right as the widest one asks for.
    settings.add_filter(r" {3,}\+T", "    +T");
    settings.add_filter(r"task \d+ panicked", "task N panicked");
    settings.bind(|| insta::assert_snapshot!(name, page));
}

/// The words of a line, with its times left out.
pub(crate) fn words(line: &str) -> String {
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_time = |word: &&str| word.starts_with('+');
    let end = words.iter().position(is_time).unwrap_or(words.len());
    words[..end].join(" ")
}
