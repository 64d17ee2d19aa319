//! [`Analyzer`]: what a report means, and what to do about it.

use std::fmt;

use serde::Serialize;
use throughline_core::Text;
use throughline_core::query::Style;

use super::printer::{self, Emphasis, Printer};
use super::{FunctionProfile, Part, ProfileReport, Transport};

/// Finds problems in a [`ProfileReport`] and says how to fix them. Its thresholds are fields: change those that do not
/// suit you.
///
/// ```
/// # use throughline_tower::transport::{Analyzer, Profiler};
/// let mut analyzer = Analyzer::default();
/// analyzer.min_calls = 100;
/// print!("{}", analyzer.analyze(&Profiler::new().report()));
/// ```
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Analyzer {
    /// The share of the transport above which it [dominates](FindingKind::TransportDominates): 0.5.
    pub transport_share: f64,
    /// The share of writing and reading JSON above which that is [heavy](FindingKind::SerializationHeavy): 0.3.
    pub serialization_share: f64,
    /// The share of the callee in the time without waiting below which there is
    /// [little work](FindingKind::LittleWork) for the way: 0.2.
    pub work_share: f64,
    /// The share of waiting in the callee above which [queueing](FindingKind::Queueing) is a problem: 0.25.
    pub queue_share: f64,
    /// How many times the median the p99 must be for a [long tail](FindingKind::LongTail): 10. Needs at least 100 calls.
    pub tail_factor: f64,
    /// The p95 of answers, in bytes, above which they are [large](FindingKind::LargeAnswers): 1 MiB.
    pub answer_bytes: u64,
    /// The rate of failures above which they are [many](FindingKind::ManyFailures): 0.05. The lower end of the rate's
    /// 95 % interval must be above it.
    pub failure_rate: f64,
    /// With fewer successful calls nothing is said about [their times](FindingKind::TooFewCalls): 20.
    pub min_calls: u64,
}

impl Default for Analyzer {
    fn default() -> Self {
        Self {
            transport_share: 0.5,
            serialization_share: 0.3,
            work_share: 0.2,
            queue_share: 0.25,
            tail_factor: 10.0,
            answer_bytes: 1024 * 1024,
            failure_rate: 0.05,
            min_calls: 20,
        }
    }
}

/// With fewer calls the p99 is just the slowest of them.
const TAIL_CALLS: u64 = 100;
/// Another transport that takes more than this share of the time is not worth changing to.
const WORTHWHILE: f64 = 0.9;

/// What an [`Analyzer`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Analysis {
    /// The findings, in the order of the report, and for each function the most serious first.
    pub findings: Vec<Finding>,
}

/// Something to know about the calls of a function over a transport, with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// The function.
    pub function: Text,
    /// How it was called.
    pub transport: Transport,
    /// What was found.
    pub kind: FindingKind,
    /// What was measured: a share or a rate from 0 to 1, a factor, bytes, or a number of calls.
    pub measured: f64,
    /// The threshold that it passed, in the same unit.
    pub threshold: f64,
    /// Of how many calls.
    pub calls: u64,
    /// The evidence as a sentence.
    pub evidence: String,
    /// What to do.
    pub recommendation: String,
}

/// What can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Too many calls fail.
    ManyFailures,
    /// There are too few calls to say anything about their times.
    TooFewCalls,
    /// The callee does not say how long it took, so the round trip is not split.
    NotSplit,
    /// Most of the time is spent in the transport.
    TransportDominates,
    /// Much of the time is spent writing and reading JSON.
    SerializationHeavy,
    /// The callee works for so little of the time that the overhead dominates.
    LittleWork,
    /// Calls wait in the callee before it works on them.
    Queueing,
    /// A few calls take far longer than the others.
    LongTail,
    /// Answers are large.
    LargeAnswers,
}

impl FindingKind {
    /// The finding in a few words.
    pub const fn title(self) -> &'static str {
        match self {
            Self::ManyFailures => "many calls fail",
            Self::TooFewCalls => "too few calls to tell",
            Self::NotSplit => "the callee's time is unknown",
            Self::TransportDominates => "transport latency is high",
            Self::SerializationHeavy => "serialization overhead is high",
            Self::LittleWork => "overhead dominates the work",
            Self::Queueing => "calls wait in the callee",
            Self::LongTail => "a few calls are far slower",
            Self::LargeAnswers => "answers are large",
        }
    }

    const fn emphasis(self) -> Emphasis {
        match self {
            Self::ManyFailures => Emphasis::Bad,
            Self::TooFewCalls | Self::NotSplit => Emphasis::Dim,
            _ => Emphasis::Warn,
        }
    }
}

impl Analyzer {
    /// Looks at a report.
    pub fn analyze(&self, report: &ProfileReport) -> Analysis {
        let mut findings = Vec::new();
        for profile in &report.functions {
            let look = Look { analyzer: self, report, profile };
            findings.extend(look.all().into_iter().flatten());
        }
        Analysis { findings }
    }
}

/// A look at the calls of one function over one transport.
struct Look<'a> {
    analyzer: &'a Analyzer,
    report: &'a ProfileReport,
    profile: &'a FunctionProfile,
}

impl Look<'_> {
    fn all(&self) -> Vec<Option<Finding>> {
        let failures = self.failures();
        if self.profile.successes() < self.analyzer.min_calls {
            return vec![failures, Some(self.too_few())];
        }
        vec![
            failures,
            self.not_split(),
            self.transport(),
            self.serialization(),
            self.little_work(),
            self.queueing(),
            self.tail(),
            self.large_answers(),
        ]
    }

    fn finding(
        &self,
        kind: FindingKind,
        (measured, threshold): (f64, f64),
        evidence: String,
        recommendation: impl Into<String>,
    ) -> Finding {
        let profile = self.profile;
        Finding {
            function: profile.function.clone(),
            transport: profile.transport,
            kind,
            measured,
            threshold,
            calls: profile.calls(),
            evidence,
            recommendation: recommendation.into(),
        }
    }

    fn failures(&self) -> Option<Finding> {
        let (rate, limit) = (self.profile.failures(), self.analyzer.failure_rate);
        let (low, high) = rate.interval();
        let worst = self.profile.outcomes.iter().filter(|(outcome, _)| outcome.is_failure());
        let (worst, count) = worst.max_by_key(|(_, count)| **count)?;
        let evidence = format!(
            "{} of {} calls failed, {} (95 % interval {} to {}), most of them {worst} ({count})",
            rate.hits,
            rate.total,
            printer::percent(rate.ratio()),
            printer::percent(low),
            printer::percent(high),
        );
        let measured = (rate.ratio(), limit);
        let advice = "Look at these first, since times are of successful calls only: \
                    `throughline list --failed` shows them";
        (low > limit).then(|| self.finding(FindingKind::ManyFailures, measured, evidence, advice))
    }

    fn too_few(&self) -> Finding {
        let (calls, limit) = (self.profile.successes(), self.analyzer.min_calls);
        let evidence = format!("{calls} calls succeeded, and at least {limit} are needed");
        let advice = "Make more calls, under a load like production's";
        self.finding(FindingKind::TooFewCalls, (calls as f64, limit as f64), evidence, advice)
    }

    fn not_split(&self) -> Option<Finding> {
        let (share, limit) = (self.profile.share(Part::RoundTrip), 0.0);
        let evidence =
            format!("{} of the time is in round trips without a Server-Timing", printer::percent(share));
        let advice = "Put `.layer(throughline.layer())` around the callee's router, so that it reports how long it took";
        (share > limit).then(|| self.finding(FindingKind::NotSplit, (share, limit), evidence, advice))
    }

    /// A part's share of the time, with its median.
    fn share_of(&self, part: Part, what: &str) -> (f64, String) {
        let share = self.profile.share(part);
        let median = self.profile.part(part).map_or_else(Default::default, |part| part.times.p50);
        let whole = printer::duration(self.profile.total.p50);
        let evidence = format!(
            "{what} took {} of the time (p50 {} of {whole})",
            printer::percent(share),
            printer::duration(median)
        );
        (share, evidence)
    }

    fn transport(&self) -> Option<Finding> {
        let limit = self.analyzer.transport_share;
        let (share, evidence) = self.share_of(Part::Transport, "The transport");
        let advice = match self.profile.transport {
            Transport::Http => {
                let seen = self.seen_over(Transport::Ipc);
                format!("Consider a Unix socket (ipc) if both run on one machine{seen}")
            }
            Transport::Ipc => {
                let seen = self.seen_over(Transport::Direct);
                format!("Consider calling it directly, in the same process{seen}")
            }
            Transport::Direct => {
                "There is no socket to save: look at the router and the layers around the function, \
                                  and do more per call"
                    .to_owned()
            }
        };
        let found = (share, limit);
        (share > limit).then(|| self.finding(FindingKind::TransportDominates, found, evidence, advice))
    }

    fn serialization(&self) -> Option<Finding> {
        let limit = self.analyzer.serialization_share;
        let (write, read) = (self.profile.share(Part::Serialize), self.profile.share(Part::Deserialize));
        let share = write + read;
        let evidence = format!(
            "Writing and reading JSON took {} of the time in the caller alone ({} and {}), for p50 {} sent and {} \
             received",
            printer::percent(share),
            printer::percent(write),
            printer::percent(read),
            printer::bytes(self.profile.request_bytes.p50),
            printer::bytes(self.profile.response_bytes.p50),
        );
        let advice = match self.profile.transport {
            Transport::Direct => "Within a process nothing has to be JSON: call it as a plain function",
            _ => "Consider a binary format, and send only what the function needs",
        };
        (share > limit)
            .then(|| self.finding(FindingKind::SerializationHeavy, (share, limit), evidence, advice))
    }

    fn little_work(&self) -> Option<Finding> {
        let limit = self.analyzer.work_share;
        // If the callee does not report its time, its share is not small but unknown.
        let work = self.profile.part(Part::Callee)?;
        if self.profile.share(Part::RoundTrip) > 0.0 {
            return None;
        }
        // Waiting is a finding of its own, and would not be less in process.
        let share = work.share / (1.0 - self.profile.share(Part::Queue)).max(f64::MIN_POSITIVE);
        let evidence = format!(
            "The function itself took {} of the time in which calls did not wait for it (p50 {} of {})",
            printer::percent(share),
            printer::duration(work.times.p50),
            printer::duration(self.profile.total.p50),
        );
        let advice = match self.profile.transport {
            Transport::Direct => {
                "It is called directly already: do more per call, or call it as a plain function".to_owned()
            }
            _ => {
                let seen = self.seen_over(Transport::Direct);
                format!("Consider direct integration, or do more per call{seen}")
            }
        };
        (share < limit).then(|| self.finding(FindingKind::LittleWork, (share, limit), evidence, advice))
    }

    fn queueing(&self) -> Option<Finding> {
        let limit = self.analyzer.queue_share;
        let (share, evidence) = self.share_of(Part::Queue, "Waiting in the callee");
        let advice =
            "Give the callee more workers or a higher concurrency limit, or send it fewer calls at once";
        (share > limit).then(|| self.finding(FindingKind::Queueing, (share, limit), evidence, advice))
    }

    fn tail(&self) -> Option<Finding> {
        let (times, limit) = (&self.profile.total, self.analyzer.tail_factor);
        let factor = times.p99.as_secs_f64() / times.p50.as_secs_f64().max(f64::MIN_POSITIVE);
        let slowest = |part: &&super::PartProfile| part.times.p99.saturating_sub(part.times.p50);
        let part = self.profile.parts.iter().max_by_key(slowest)?;
        let evidence = format!(
            "The p99 is {factor:.0} times the median ({} against {}), mostly in {} (p99 {})",
            printer::duration(times.p99),
            printer::duration(times.p50),
            part.part,
            printer::duration(part.times.p99),
        );
        let advice = match part.part {
            Part::Queue => "Look for bursts: a queue that fills up now and then makes a few calls wait",
            Part::Transport | Part::RoundTrip => {
                "Look for new connections, retransmissions and slow proxies in between"
            }
            Part::Callee => "Look at the slowest runs of the callee: `throughline stats` lists them",
            Part::Serialize | Part::Deserialize => "Look for a few inputs or answers that are far larger",
        };
        let is_long = self.profile.successes() >= TAIL_CALLS && factor >= limit;
        is_long.then(|| self.finding(FindingKind::LongTail, (factor, limit), evidence, advice))
    }

    fn large_answers(&self) -> Option<Finding> {
        let (size, limit) = (self.profile.response_bytes.p95, self.analyzer.answer_bytes);
        let evidence = format!("One response in twenty has {} or more", printer::bytes(size));
        let advice = "Paginate the response, omit what the caller does not read, or stream it";
        let found = (size as f64, limit as f64);
        (size > limit).then(|| self.finding(FindingKind::LargeAnswers, found, evidence, advice))
    }

    /// How long the same function took over another transport, if there were enough calls.
    fn seen_over(&self, other: Transport) -> String {
        let other = self.report.of(&self.profile.function, other);
        let other = other.filter(|profile| profile.successes() >= self.analyzer.min_calls);
        let Some(other) = other else { return String::new() };
        let (own, others) = (self.profile.total.p50, other.total.p50);
        let (is_slower, is_worthwhile) =
            (others >= own, others.as_secs_f64() <= own.as_secs_f64() * WORTHWHILE);
        let (transport, own, others) = (other.transport, printer::duration(own), printer::duration(others));
        if is_slower {
            return format!(
                "; as of now it would not help: over {transport} its p50 was {others}, no less than the {own} here"
            );
        }
        let but = if is_worthwhile { "" } else { ", though that may not help" };
        format!("{but}: over {transport} its p50 was {others} instead of {own}")
    }
}

impl Analysis {
    /// The findings as text for people.
    pub fn render(&self, style: &Style) -> String {
        let mut printer = Printer::new(style);
        if self.findings.is_empty() {
            printer.put(Emphasis::Good, "nothing stands out").end_line();
        }
        let mut before = None;
        for finding in &self.findings {
            let callee = (&finding.function, finding.transport);
            if before.replace(callee) != Some(callee) {
                printer
                    .put(Emphasis::Heading, &printer::cut(&finding.function, 40))
                    .put(Emphasis::Normal, " over ");
                printer.put(Emphasis::Heading, finding.transport.as_str()).end_line();
            }
            printer.put(Emphasis::Normal, "  ").put(finding.kind.emphasis(), finding.kind.title()).end_line();
            printer.wrapped(4, Emphasis::Normal, &format!("{}.", finding.evidence));
            printer.put(Emphasis::Normal, "    → ").wrapped(
                6,
                Emphasis::Normal,
                &format!("{}.", finding.recommendation),
            );
        }
        printer.finish()
    }
}

impl fmt::Display for Analysis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(&Style::plain()))
    }
}
