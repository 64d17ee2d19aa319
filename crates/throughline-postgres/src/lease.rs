//! Leases and claims. Both are rows, and expire by the server's clock.

use std::time::Duration;

use throughline_model::{Claim, Instance, InstanceId, Lease, Liveness, Process, Timestamp, TraceId};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use crate::connect::Param;
use crate::error::Fault;
use crate::text::{capped, from_column, to_column};

const TAKE: &str = "INSERT INTO throughline.instance (id, service, version, host, pid, opened, seen, expires) \
    SELECT $1, $2, $3, $4, $5, now, now, now + $6 * interval '1 microsecond' FROM clock_timestamp() AS now \
    ON CONFLICT (id) DO UPDATE SET service = EXCLUDED.service, version = EXCLUDED.version, host = EXCLUDED.host, \
        pid = EXCLUDED.pid, opened = EXCLUDED.opened, seen = EXCLUDED.seen, expires = EXCLUDED.expires, closed = NULL";

const RENEW: &str = "UPDATE throughline.instance SET seen = now, expires = now + $2 * interval '1 microsecond' \
    FROM clock_timestamp() AS now WHERE id = $1 AND closed IS NULL";

const RELEASE_ALL: &str = "DELETE FROM throughline.claim WHERE instance = $1";

/// Under the lock of the trace, so that those who wait for it see who has been quicker, and how that one stands.
const CLAIM: &str = "INSERT INTO throughline.claim AS c (trace_id, instance) SELECT $1, i.id FROM throughline.instance i \
    WHERE i.id = $2 AND throughline.liveness(i.id, i.opened, i.closed, i.expires) = 0 \
    ON CONFLICT (trace_id) DO UPDATE SET instance = EXCLUDED.instance \
    WHERE c.instance = EXCLUDED.instance OR NOT EXISTS (SELECT FROM throughline.instance h \
        WHERE h.id = c.instance AND throughline.liveness(h.id, h.opened, h.closed, h.expires) = 0) \
    RETURNING instance";

const HOLDER: &str = "SELECT c.instance FROM throughline.claim c WHERE c.trace_id = $1 AND EXISTS \
    (SELECT FROM throughline.instance i WHERE i.id = $2 \
        AND throughline.liveness(i.id, i.opened, i.closed, i.expires) = 0)";

fn key(instance: InstanceId) -> i64 {
    instance.to_u64() as i64
}

/// How long a lease lasts after it was renewed, in microseconds.
fn lasts(lease: Lease) -> i64 {
    let time = match lease {
        Lease::Heartbeat { expires_after, .. } => expires_after,
        _ => Duration::MAX,
    };
    // A century, which Postgres can add to a moment.
    capped(u64::try_from(time.as_micros()).unwrap_or(u64::MAX)).min(3_155_760_000_000_000)
}

/// Takes out the lease of an instance, which has none of its former claims.
pub(crate) async fn take(client: &Client, instance: &Instance, lease: Lease) -> Result<(), Fault> {
    let (id, pid, lasts) = (key(instance.id), instance.pid.map(i64::from), lasts(lease));
    let service = to_column(&instance.service);
    let (version, host) =
        (instance.version.as_deref().map(to_column), instance.host.as_deref().map(to_column));
    client.batch_execute("BEGIN").await?;
    client
        .execute_typed(
            TAKE,
            &[
                (&id, Type::INT8),
                (&service, Type::TEXT),
                (&version, Type::TEXT),
                (&host, Type::TEXT),
                (&pid, Type::INT8),
                (&lasts, Type::INT8),
            ],
        )
        .await?;
    client.execute_typed(RELEASE_ALL, &[(&id, Type::INT8)]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

/// Renews the lease, unless it was given back.
pub(crate) async fn renew(client: &Client, instance: InstanceId, lease: Lease) -> Result<(), Fault> {
    let (id, lasts) = (key(instance), lasts(lease));
    client.execute_typed(RENEW, &[(&id, Type::INT8), (&lasts, Type::INT8)]).await?;
    Ok(())
}

/// Gives the lease back, and all claims.
pub(crate) async fn give_back(client: &Client, instance: InstanceId) -> Result<(), Fault> {
    let id = key(instance);
    let sql = "UPDATE throughline.instance SET seen = now, closed = now FROM clock_timestamp() AS now \
               WHERE id = $1 AND closed IS NULL";
    client.batch_execute("BEGIN").await?;
    client.execute_typed(sql, &[(&id, Type::INT8)]).await?;
    client.execute_typed(RELEASE_ALL, &[(&id, Type::INT8)]).await?;
    client.batch_execute("COMMIT").await?;
    Ok(())
}

pub(crate) async fn claim(client: &Client, trace: TraceId, instance: InstanceId) -> Result<Claim, Fault> {
    let (trace, id) = (trace.to_bytes(), key(instance));
    let trace = &trace[..];
    let params: &[Param<'_>] = &[(&trace, Type::BYTEA), (&id, Type::INT8)];
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended(encode($1, 'hex'), 0))";
    let (begun, locked, claimed, holder, committed) = tokio::join!(
        client.batch_execute("BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '5s'"),
        client.query_typed(lock, &params[..1]),
        client.query_typed_opt(CLAIM, params),
        client.query_typed_opt(HOLDER, params),
        client.batch_execute("COMMIT"),
    );
    begun?;
    locked?;
    let (claimed, holder) = (claimed?, holder?);
    committed?;
    if claimed.is_some() {
        return Ok(Claim::Granted);
    }
    let expired = Fault::Passing(
        "the lease of this instance has expired, or was given back; its next renewal brings it back",
    );
    let holder: i64 = holder.ok_or(expired)?.try_get(0)?;
    Ok(Claim::HeldBy(InstanceId::from_u64(holder as u64)))
}

pub(crate) async fn release(client: &Client, trace: TraceId, instance: InstanceId) -> Result<(), Fault> {
    let (trace, id) = (trace.to_bytes(), key(instance));
    let trace = &trace[..];
    let sql = "DELETE FROM throughline.claim WHERE trace_id = $1 AND instance = $2";
    client.execute_typed(sql, &[(&trace, Type::BYTEA), (&id, Type::INT8)]).await?;
    Ok(())
}

/// How an instance stands, of which the server said this.
pub(crate) fn liveness_of(instance: InstanceId, code: i32) -> Liveness {
    match code {
        _ if instance == InstanceId::NOBODY => Liveness::Dead,
        _ if instance == InstanceId::IMPORTED => Liveness::Imported,
        0 => Liveness::Alive,
        1 => Liveness::Dead,
        2 => Liveness::Imported,
        _ => Liveness::Unknown,
    }
}

pub(crate) async fn liveness(client: &Client, instances: &[InstanceId]) -> Result<Vec<Liveness>, Fault> {
    let ids: Vec<i64> = instances.iter().copied().map(key).collect();
    let sql = "SELECT throughline.liveness(i.id, i.opened, i.closed, i.expires) \
               FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (id, place) \
               LEFT JOIN throughline.instance i ON i.id = asked.id ORDER BY asked.place";
    let rows = client.query_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await?;
    let stands = |(row, instance): (&Row, &InstanceId)| Ok(liveness_of(*instance, row.try_get(0)?));
    rows.iter().zip(instances).map(stands).collect()
}

pub(crate) async fn processes(
    client: &Client,
    instances: &[InstanceId],
) -> Result<Vec<Option<Process>>, Fault> {
    let ids: Vec<i64> = instances.iter().copied().map(key).collect();
    let sql = "SELECT i.service, i.version, i.host, i.pid, (extract(epoch FROM i.opened) * 1000000)::bigint, \
               (extract(epoch FROM i.seen) * 1000000)::bigint \
               FROM unnest($1::bigint[]) WITH ORDINALITY AS asked (id, place) \
               LEFT JOIN throughline.instance i ON i.id = asked.id AND i.opened IS NOT NULL ORDER BY asked.place";
    let rows = client.query_typed(sql, &[(&ids, Type::INT8_ARRAY)]).await?;
    let process = |(row, instance): (&Row, &InstanceId)| {
        let Some(opened) = row.try_get::<_, Option<i64>>(4)? else { return Ok(None) };
        let text = |at| Ok::<_, Fault>(row.try_get::<_, Option<&str>>(at)?.map(from_column));
        let of = Instance::new(*instance, text(0)?.unwrap_or_default());
        let mut process = of.process(Timestamp::from_micros(opened));
        process.version = text(1)?;
        process.host = text(2)?;
        process.pid = row.try_get::<_, Option<i64>>(3)?.and_then(|pid| u32::try_from(pid).ok());
        let seen = row.try_get::<_, Option<i64>>(5)?.map_or(process.started, Timestamp::from_micros);
        process.last_seen = seen.max(process.started);
        Ok(Some(process))
    };
    rows.iter().zip(instances).map(process).collect()
}
