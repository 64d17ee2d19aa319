//! The operations on the container that the store is made of.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use azure_core::http::Etag;
use azure_data_cosmos::models::{BatchResponse, ItemResponse};
use azure_data_cosmos::options::{
    BatchOptions, ContentResponseOnWrite, EndToEndOperationLatencyPolicy, ItemWriteOptions, MaxItemCountHint,
    OperationOptionsBuilder, Precondition, QueryOptions, ThrottlingRetryOptionsBuilder,
};
use azure_data_cosmos::{ContainerClient, CosmosError, FeedScope, Query, TransactionalBatch};
use futures_util::TryStreamExt;
use serde::Serialize;
use serde::de::DeserializeOwned;
use throughline_model::{Charges, Timestamp};
use tokio::runtime::Handle;

use crate::clock::ServiceClock;
use crate::document::Written;
use crate::error::{Fault, Refusal};

/// How often a writer tries again when others write to the same document at the same time.
pub(crate) const ATTEMPTS: usize = 20;

/// A container, and the runtime on which its operations are driven: they may be asked for on any other. Clones share
/// connections, the clock and what is known of sessions.
#[derive(Clone)]
pub(crate) struct Container {
    client: Arc<ContainerClient>,
    runtime: Handle,
    clock: Arc<ServiceClock>,
    charges: Charges,
}

/// What became of a transactional batch.
pub(crate) enum Batch {
    /// It was done; what the last operation in it wrote or read has this etag.
    Done { etag: String },
    /// Nothing was done, because of the operation at this place.
    Refused { place: usize, refusal: Refusal },
}

/// The documents that a query found, in the order of the service.
pub(crate) struct Answer<T> {
    pub(crate) items: Vec<T>,
    /// Whether they came in several pages, which are not of one moment.
    pub(crate) is_paged: bool,
}

/// What was charged for.
trait Charged {
    fn units(&self) -> Option<f64>;
}

impl Charged for ItemResponse {
    fn units(&self) -> Option<f64> {
        self.headers().request_charge().map(|charge| charge.value())
    }
}

impl Charged for BatchResponse {
    fn units(&self) -> Option<f64> {
        self.headers().request_charge().map(|charge| charge.value())
    }
}

impl<T> Charged for Answer<T> {
    /// Each page was charged for when it came.
    fn units(&self) -> Option<f64> {
        None
    }
}

/// Only a document that still has this etag.
fn if_match(etag: &str) -> Precondition {
    Precondition::IfMatch(Etag::from(etag.to_owned()))
}

impl Container {
    pub(crate) fn new(client: ContainerClient, runtime: Handle) -> Self {
        Self { client: Arc::new(client), runtime, clock: Arc::default(), charges: Charges::default() }
    }

    pub(crate) fn clock(&self) -> &ServiceClock {
        &self.clock
    }

    pub(crate) fn charges(&self) -> &Charges {
        &self.charges
    }

    /// Drives an operation on the runtime of the container, wherever its caller is, and keeps what it was charged with, also if
    /// its caller does not wait for it any more.
    async fn drive<T: Charged + Send + 'static>(
        &self,
        kind: &'static str,
        operation: impl Future<Output = Result<T, CosmosError>> + Send + 'static,
    ) -> Result<Result<T, CosmosError>, Fault> {
        let charges = self.charges.clone();
        let driven = async move {
            let answer = operation.await;
            let units = match &answer {
                Ok(answer) => answer.units(),
                // What is refused is charged for, too.
                Err(error) => error
                    .response()
                    .and_then(|answer| Some(answer.headers().request_charge.as_ref()?.value())),
            };
            charges.add(kind, units.unwrap_or_default());
            answer
        };
        let gone = |_| Fault::Passing("the runtime that the store was opened on has ended");
        self.runtime.spawn(driven).await.map_err(gone)
    }

    /// Reads a document; `None` if there is none.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        partition: &str,
        id: &str,
    ) -> Result<Option<T>, Fault> {
        let (client, partition, id) = (Arc::clone(&self.client), partition.to_owned(), id.to_owned());
        let what = id.clone();
        match self.drive("read", async move { client.read_item(partition, &id, None).await }).await? {
            Ok(found) => found.into_model().map(Some).map_err(|_| damaged(&what)),
            Err(error) if error.status().is_not_found() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Creates a document; `None` if there is one with its id.
    pub(crate) async fn create(
        &self,
        partition: &str,
        id: &str,
        document: impl Serialize + Send + 'static,
    ) -> Result<Option<Written>, Fault> {
        let (client, partition, id) = (Arc::clone(&self.client), partition.to_owned(), id.to_owned());
        let sent = Timestamp::now();
        let create = async move { client.create_item(partition, &id, document, Some(echoed())).await };
        match self.drive("create", create).await? {
            Ok(written) => self.written(written, sent).map(Some),
            Err(error) if error.status().is_conflict() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Replaces a document that still has this etag; `None` if it has another one, or is gone.
    pub(crate) async fn replace(
        &self,
        partition: &str,
        id: &str,
        document: impl Serialize + Send + 'static,
        etag: &str,
    ) -> Result<Option<Written>, Fault> {
        let (client, partition, id) = (Arc::clone(&self.client), partition.to_owned(), id.to_owned());
        let options = echoed().with_precondition(if_match(etag));
        let sent = Timestamp::now();
        let replace = async move { client.replace_item(partition, &id, document, Some(options)).await };
        match self.drive("replace", replace).await? {
            Ok(written) => self.written(written, sent).map(Some),
            Err(error) if error.status().is_precondition_failed() || error.status().is_not_found() => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a document that still has this etag.
    pub(crate) async fn remove(&self, partition: &str, id: &str, etag: &str) -> Result<(), Fault> {
        let (client, partition, id) = (Arc::clone(&self.client), partition.to_owned(), id.to_owned());
        let options = ItemWriteOptions::default()
            .with_operation_options(patience().build())
            .with_precondition(if_match(etag));
        match self
            .drive("remove", async move { client.delete_item(partition, &id, Some(options)).await })
            .await?
        {
            Ok(_) => Ok(()),
            Err(error) if error.status().is_precondition_failed() || error.status().is_not_found() => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn written(&self, response: ItemResponse, sent: Timestamp) -> Result<Written, Fault> {
        let written: Written = response.into_model().map_err(|_| damaged("answer to a write"))?;
        self.clock.observe(sent, written.second, Timestamp::now());
        Ok(written)
    }

    /// Does all operations of a batch, or none.
    pub(crate) async fn execute(&self, batch: TransactionalBatch) -> Result<Batch, Fault> {
        let client = Arc::clone(&self.client);
        let options = BatchOptions::default().with_operation_options(patience().build());
        let response = self
            .drive("batch", async move { client.execute_transactional_batch(batch, Some(options)).await })
            .await??;
        let results = response.into_model().map_err(|_| damaged("answer to a batch"))?;
        // Those that did nothing because of another one say 424.
        let refused =
            results.results().iter().position(|result| !result.is_success() && result.status_code() != 424);
        if let Some(place) = refused {
            let result = &results.results()[place];
            let refusal = Refusal {
                status: result.status_code(),
                sub_status: result.substatus_code().and_then(|code| u16::try_from(code).ok()).unwrap_or(0),
                retry_after: result.retry_after(),
            };
            return Ok(Batch::Refused { place, refusal });
        }
        let etag = results.results().last().and_then(|result| result.etag());
        Ok(Batch::Done { etag: etag.unwrap_or_default().to_owned() })
    }

    /// Asks for documents, at most about this many.
    pub(crate) async fn query<T: DeserializeOwned + Send + 'static>(
        &self,
        scope: FeedScope,
        query: Query,
        limit: Option<usize>,
    ) -> Result<Answer<T>, Fault> {
        const KIND: &str = "query";
        let (client, charges) = (Arc::clone(&self.client), self.charges.clone());
        let asked = async move {
            let mut options = QueryOptions::default();
            if let Some(limit) =
                limit.and_then(|limit| NonZeroU32::new(u32::try_from(limit).unwrap_or(u32::MAX)))
            {
                options = options.with_max_item_count(MaxItemCountHint::Limit(limit));
            }
            let mut pages = client.query_items::<T>(query, scope, Some(options)).await?.into_pages();
            let (mut items, mut filled) = (Vec::new(), 0);
            while let Some(page) = pages.try_next().await? {
                filled += usize::from(!page.items().is_empty());
                charges.add(KIND, page.headers().request_charge().map_or(0.0, |charge| charge.value()));
                items.extend(page.into_items());
                if limit.is_some_and(|limit| items.len() >= limit) {
                    break;
                }
            }
            Ok(Answer { items, is_paged: filled > 1 })
        };
        Ok(self.drive(KIND, asked).await??)
    }
}

/// How long the client tries by itself to write. Delivery gives a call ten seconds, and tries again for longer than that:
/// what it hears of a service that does not answer should be the reason, and should be in time.
fn patience() -> OperationOptionsBuilder {
    let throttled = ThrottlingRetryOptionsBuilder::new()
        .with_max_retry_count(3)
        .with_max_retry_wait_time(Duration::from_secs(5))
        .build();
    OperationOptionsBuilder::new()
        .with_throttling_retry_options(throttled)
        .with_end_to_end_latency_policy(EndToEndOperationLatencyPolicy::new(Duration::from_secs(8)))
}

/// A write that is answered with the document as it is stored.
fn echoed() -> ItemWriteOptions {
    let echo = patience().with_content_response_on_write(ContentResponseOnWrite::Enabled).build();
    ItemWriteOptions::default().with_operation_options(echo)
}

fn damaged(what: &str) -> Fault {
    Fault::Damaged(format!(
        "the document `{what}` can't be read; it was not written by this store, or changed since"
    ))
}
