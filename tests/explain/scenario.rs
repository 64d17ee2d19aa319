//! A failure that is played, and what is asked of it.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use throughline::event::{Relation, TraceEvent};
use throughline::query::{Explanation, Liveness, RunSummary, Style, TraceQuery};
use throughline::store::{Filter, Page};
use throughline::{MemoryStore, Throughline, TraceContext};

type Run = Pin<Box<dyn Future<Output = anyhow::Result<()>> + Send>>;

/// How a run comes about.
pub(crate) enum Story {
    /// It is run.
    Run(fn(TraceContext) -> Run),
    /// Its events are told, because a process would have to die for them.
    Told(fn() -> TraceQuery),
}

macro_rules! run {
    (|$ctx:ident| $body:block) => {
        $crate::scenario::Story::Run(|$ctx| Box::pin(async move $body))
    };
}
pub(crate) use run;

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
    pub(crate) explanation: Explanation,
    pub(crate) summary: RunSummary,
}

impl Scenario {
    pub(crate) async fn play(&self) -> Played {
        let (query, summary) = match self.story {
            Story::Told(told) => {
                let query = told();
                let summary = query.summary().unwrap();
                (query, summary)
            }
            Story::Run(story) => {
                let store = MemoryStore::new();
                let throughline = Throughline::builder("shop").store(store.clone()).build().unwrap();
                let _ = throughline.workflow("order").key("order-7").run(story).await.unwrap();
                let _ = throughline.flush(Duration::from_secs(10)).await;
                let reader = throughline.reader().unwrap();
                let found =
                    reader.runs(&Filter::new().correlation_id("order-7"), &Page::first(1)).await.unwrap();
                let summary = found.items[0].clone();
                (TraceQuery::read(&*reader, summary.trace_id).await.unwrap(), summary)
            }
        };
        let explanation = query.explain();
        Played { query, explanation, summary }
    }
}

impl Played {
    /// The same as an import or an earlier version has it: without links to what brought a span down.
    pub(crate) fn without_links(&self) -> Self {
        let mut events: Vec<TraceEvent> =
            self.query.spans().flat_map(|span| span.events().cloned()).collect();
        for event in &mut events {
            event.links.retain(|link| link.rel != Relation::FailedBy);
        }
        let query = TraceQuery::new(events).with_liveness(|_| Liveness::Dead);
        Self { explanation: query.explain(), query, summary: self.summary.clone() }
    }

    pub(crate) fn page(&self) -> String {
        self.explanation.render(&Style::plain())
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
