//! What the collector does not take: into the outbox, and from there to the collector again.

use std::sync::Arc;
use std::time::Duration;

use throughline_model::{AppendError, DropReason};
use tokio::time::Instant;

use super::batch::Sent;
use super::{Exporter, translated};
use crate::outbox::First;
use crate::transport::Answer;

/// How long an outbox is asked to take halves of what it refuses.
const HALVING: Duration = Duration::from_secs(1);

impl Exporter {
    /// Puts what the collector did not take into the outbox, or counts it as lost.
    pub(super) async fn keep_or_lose(&mut self, spans: Vec<Sent>, why: DropReason) {
        // Halves are tried where all together are refused: a spool that is nearly full has room for some, and one that refuses
        // an event takes those around it. Where it has no room for a single span, or takes long to say so, no more are tried.
        let until = Instant::now() + HALVING;
        let (mut groups, mut refused, mut is_full) = (vec![spans], None, false);
        while let Some(mut spans) = groups.pop() {
            let owed = spans.iter().map(|span| span.owed).sum::<u64>();
            let finished: Vec<_> = spans.iter().filter_map(|span| span.finished.as_ref()).collect();
            let Some(outbox) = self.outbox.as_mut().filter(|_| !is_full && !finished.is_empty()) else {
                self.ledger.lose(why, owed);
                continue;
            };
            match outbox.push(&finished).await {
                // Those that another process saw are accepted with the span that they complete.
                Ok(events) => self.ledger.accept(events.saturating_sub(owed)),
                Err(AppendError::Unavailable { .. } | AppendError::Rejected { .. })
                    if spans.len() > 1 && Instant::now() < until =>
                {
                    groups.push(spans.split_off(spans.len() / 2));
                    groups.push(spans);
                }
                Err(error) => {
                    is_full = !matches!(error, AppendError::Rejected { .. });
                    refused = Some(error);
                    self.ledger.lose(why, owed);
                }
            }
        }
        if let Some(error) = refused {
            tracing::warn!(target: "throughline", %error, "the outbox of otlp did not take all spans");
        }
    }

    pub(super) async fn send_from_the_outbox(&mut self) {
        let Some(outbox) = &mut self.outbox else { return };
        let first = match outbox.first().await {
            Ok(first) if first.is_empty() => return self.spans.put_off(None),
            Ok(first) => first,
            Err(error) => {
                self.spans.trouble(&error.to_string());
                return self.spans.put_off(None);
            }
        };
        let sent = first.into_iter().filter_map(|First { span, is_record_alone, through }| {
            let end = Arc::clone(span.events.last()?);
            let sent =
                Sent::new(&translated(&span, self.style, &self.sampling)?, &end, span.owed, Some(span));
            Some((sent, is_record_alone, through))
        });
        let mut sent: Vec<_> = sent.collect();
        let count = self.spans.fitting(sent.iter().map(|(sent, ..)| sent));
        sent.truncate(count);
        let Some(&(_, _, through)) = sent.last() else { return };
        let (records, sent): (Vec<_>, Vec<_>) =
            sent.into_iter().partition(|(_, is_record_alone, _)| *is_record_alone);
        let [records, sent] =
            [records, sent].map(|sent| sent.into_iter().map(|(sent, ..)| sent).collect::<Vec<_>>());
        let nothing = Answer::Taken { rejected: 0, message: String::new() };
        let answer = match sent.is_empty() {
            true => nothing,
            false => {
                let sending = self.transport.send(self.processes.request(sent.iter().map(|sent| &sent.span)));
                self.deadline.limit(sending).await.unwrap_or_else(Answer::too_late)
            }
        };
        let (rejected, message) = match answer {
            Answer::Taken { rejected, message } => {
                self.spans.went_well();
                (rejected, message)
            }
            Answer::TooLarge { .. } if self.spans.halve(count) => return,
            Answer::TooLarge { reason } | Answer::Rejected { reason } => {
                self.spans.may_grow();
                (u64::MAX, reason)
            }
            Answer::Later { after, reason } => {
                self.spans.trouble(&reason);
                return self.spans.put_off(after);
            }
        };
        // Counted once it can't be sent again.
        match outbox.remove(through).await {
            Ok(()) => {
                self.taken(&records, 0, "");
                self.taken(&sent, rejected, &message);
            }
            Err(error) => {
                self.spans.trouble(&error.to_string());
                self.spans.put_off(None);
            }
        }
    }
}
