//! Leases and claims. Both are documents that are written under their etags, so that of several writers one is first.
//!
//! The claim of a run is in the partition of that run: what its holder reads from then on has in it whatever was written to the
//! run before.

use std::time::Duration;

use futures_util::stream::{self, StreamExt, TryStreamExt};
use throughline_model::{Claim, Instance, InstanceId, Lease, Liveness, Process, TraceId};
use tokio::sync::Mutex;

use crate::container::{ATTEMPTS, Container};
use crate::document::{CLAIM, ClaimDocument, LEASE, LeaseDocument, partition_of, sortable};
use crate::error::Fault;

/// How many documents are read at a time.
const AT_ONCE: usize = 16;

/// The lease that an instance has taken out.
pub(crate) struct HeldLease {
    container: Container,
    instance: InstanceId,
    lasts: Duration,
    /// What was written last. A renewal that is answered late does not come after the end.
    document: Mutex<LeaseDocument>,
}

impl HeldLease {
    /// Takes out the lease of an instance, which has none of its former claims.
    pub(crate) async fn take(
        container: Container,
        instance: &Instance,
        lease: Lease,
        ttl: Option<u32>,
    ) -> Result<Self, Fault> {
        let lasts = match lease {
            Lease::Heartbeat { expires_after, .. } => expires_after,
            _ => Duration::MAX,
        };
        let partition = partition_of(instance.id);
        for _ in 0..ATTEMPTS {
            let now = container.clock().now();
            let document = LeaseDocument {
                id: LEASE.to_owned(),
                trace_id: partition.clone(),
                kind: "instance".to_owned(),
                service: instance.service.clone(),
                version: instance.version.clone(),
                host: instance.host.clone(),
                pid: instance.pid,
                opening: format!("{:032x}", rand::random::<u128>()),
                opened: sortable(now),
                seen: sortable(now),
                expires: sortable(now.plus(lasts)),
                closed: false,
                ttl,
                etag: String::new(),
            };
            let before = container.read::<LeaseDocument>(&partition, LEASE).await?;
            let written = match before {
                Some(before) => container.replace(&partition, LEASE, document.clone(), &before.etag).await?,
                None => container.create(&partition, LEASE, document.clone()).await?,
            };
            if let Some(written) = written {
                let document = Mutex::new(LeaseDocument { etag: written.etag, ..document });
                let held = Self { container, instance: instance.id, lasts, document };
                // The answer said what the time is; where our clock is wrong, so is what was written.
                if held.container.clock().is_put_right() {
                    held.renew().await?;
                }
                return Ok(held);
            }
        }
        Err(Fault::Passing("the lease of this instance is being written by others at this moment"))
    }

    /// Renews the lease, unless it was given back.
    pub(crate) async fn renew(&self) -> Result<(), Fault> {
        let mut document = self.document.lock().await;
        match document.closed {
            true => Ok(()),
            false => self.write(&mut document, false).await,
        }
    }

    /// Gives the lease back, and with it all claims.
    pub(crate) async fn give_back(&self) -> Result<(), Fault> {
        let mut document = self.document.lock().await;
        match document.closed {
            true => Ok(()),
            false => self.write(&mut document, true).await,
        }
    }

    async fn write(&self, document: &mut LeaseDocument, closed: bool) -> Result<(), Fault> {
        let partition = partition_of(self.instance);
        let now = self.container.clock().now();
        let next = LeaseDocument {
            seen: sortable(now),
            expires: sortable(now.plus(self.lasts)),
            closed,
            ..document.clone()
        };
        let written = self.container.replace(&partition, LEASE, next.clone(), &document.etag).await?;
        let written = match written {
            Some(written) => written,
            // The answer to the last renewal was lost, or the lease was not renewed for so long that it is gone.
            None => match self.container.read::<LeaseDocument>(&partition, LEASE).await? {
                Some(found) if found.opening != document.opening => {
                    return Err(Fault::Unusable(
                        "another process has opened the store as the same instance".to_owned(),
                    ));
                }
                Some(found) => self.container.replace(&partition, LEASE, next.clone(), &found.etag).await?,
                None => self.container.create(&partition, LEASE, next.clone()).await?,
            }
            .ok_or(Fault::Passing("the lease was being written at this moment"))?,
        };
        *document = LeaseDocument { etag: written.etag, ..next };
        Ok(())
    }

    /// Whether it has not expired by the clock of the service, as everybody else sees it.
    async fn check(&self) -> Result<String, Fault> {
        let document = self.document.lock().await;
        match document.is_alive(self.container.clock().now()) {
            true => Ok(document.opening.clone()),
            false => Err(Fault::Passing(
                "the lease of this instance has expired, or was given back; its next renewal brings it back",
            )),
        }
    }

    pub(crate) async fn claim(&self, trace: TraceId, ttl: Option<u32>) -> Result<Claim, Fault> {
        let opening = self.check().await?;
        let partition = trace.to_string();
        let claim = ClaimDocument {
            id: CLAIM.to_owned(),
            trace_id: trace,
            kind: CLAIM.to_owned(),
            holder: self.instance,
            opening,
            ttl,
            etag: String::new(),
        };
        for _ in 0..ATTEMPTS {
            if self.container.create(&partition, CLAIM, claim.clone()).await?.is_some() {
                return Ok(Claim::Granted);
            }
            let Some(found) = self.container.read::<ClaimDocument>(&partition, CLAIM).await? else {
                continue;
            };
            if (found.holder, &found.opening) == (claim.holder, &claim.opening) {
                return Ok(Claim::Granted);
            }
            if self.is_held(&found).await? {
                return Ok(Claim::HeldBy(found.holder));
            }
            if self.container.replace(&partition, CLAIM, claim.clone(), &found.etag).await?.is_some() {
                return Ok(Claim::Granted);
            }
        }
        Err(Fault::Passing("others claim the same run at this moment"))
    }

    /// Whether the holder of a claim lives, and has not opened the store again since.
    async fn is_held(&self, claim: &ClaimDocument) -> Result<bool, Fault> {
        let lease = self.container.read::<LeaseDocument>(&partition_of(claim.holder), LEASE).await?;
        let now = self.container.clock().now();
        Ok(lease.is_some_and(|lease| lease.opening == claim.opening && lease.is_alive(now)))
    }

    pub(crate) async fn release(&self, trace: TraceId) -> Result<(), Fault> {
        let (partition, opening) = (trace.to_string(), self.document.lock().await.opening.clone());
        match self.container.read::<ClaimDocument>(&partition, CLAIM).await? {
            Some(found) if found.holder == self.instance && found.opening == opening => {
                self.container.remove(&partition, CLAIM, &found.etag).await
            }
            _ => Ok(()),
        }
    }
}

/// The documents of these instances, each once.
async fn leases(
    container: &Container,
    instances: &[InstanceId],
) -> Result<Vec<(InstanceId, Option<LeaseDocument>)>, Fault> {
    let mut asked: Vec<InstanceId> = instances
        .iter()
        .copied()
        .filter(|instance| ![InstanceId::NOBODY, InstanceId::IMPORTED].contains(instance))
        .collect();
    asked.sort_unstable();
    asked.dedup();
    let read = |instance| async move {
        Ok((instance, container.read::<LeaseDocument>(&partition_of(instance), LEASE).await?))
    };
    stream::iter(asked).map(read).buffered(AT_ONCE).try_collect().await
}

fn of<T>(found: &[(InstanceId, Option<T>)], instance: InstanceId) -> Option<&T> {
    let at = found.binary_search_by_key(&instance, |(instance, _)| *instance).ok()?;
    found[at].1.as_ref()
}

/// How instances stand. Of one without a lease nothing is known: its events may have been imported.
pub(crate) async fn liveness(
    container: &Container,
    instances: &[InstanceId],
) -> Result<Vec<Liveness>, Fault> {
    let found = leases(container, instances).await?;
    let now = container.clock().now();
    let stands = |instance: &InstanceId| match of(&found, *instance) {
        _ if *instance == InstanceId::NOBODY => Liveness::Dead,
        _ if *instance == InstanceId::IMPORTED => Liveness::Imported,
        Some(lease) if lease.is_alive(now) => Liveness::Alive,
        Some(_) => Liveness::Dead,
        None => Liveness::Unknown,
    };
    Ok(instances.iter().map(stands).collect())
}

pub(crate) async fn processes(
    container: &Container,
    instances: &[InstanceId],
) -> Result<Vec<Option<Process>>, Fault> {
    let found = leases(container, instances).await?;
    let process = |instance: &InstanceId| {
        let lease = of(&found, *instance)?;
        let mut of = Instance::new(*instance, lease.service.clone());
        (of.version, of.host, of.pid) = (lease.version.clone(), lease.host.clone(), lease.pid);
        let mut process = of.process(lease.opened_at()?);
        process.last_seen = lease.seen_at()?.max(process.started);
        Some(process)
    };
    Ok(instances.iter().map(process).collect())
}
