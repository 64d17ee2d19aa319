//! Who lives, as leases say.

use std::time::{Duration, Instant};

use super::{OpenStore, StoreFixture, hold, open, open_as, open_silently};
use crate::testing::run;
use crate::{Claim, Instance, InstanceId, Lease, Liveness, RunState, Timestamp, TraceId};

/// Long enough for a busy machine; a promise that holds never waits for it.
const PATIENCE: Duration = Duration::from_secs(60);

async fn liveness(store: &OpenStore, instance: InstanceId) -> Liveness {
    let answer = store.reader.liveness(&[instance]).await.unwrap();
    let [liveness] = answer[..] else { panic!("one answer to one question, not {answer:?}") };
    liveness
}

pub fn liveness_is_answered_in_the_order_asked<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let stranger = InstanceId::from_u64(0xfeed);
        let asked = [other.id, stranger, mine.id, InstanceId::IMPORTED, other.id, InstanceId::NOBODY];
        use Liveness::{Alive, Dead, Imported, Unknown};
        let answer = mine.reader.liveness(&asked).await.unwrap();
        assert_eq!(answer, [Alive, Unknown, Alive, Imported, Alive, Dead]);
        let other_id = other.id;
        other.close().await;
        let answer = mine.reader.liveness(&asked).await.unwrap();
        assert_eq!(answer, [Dead, Unknown, Alive, Imported, Dead, Dead]);
        assert_eq!(mine.reader.liveness(&[]).await.unwrap(), []);
        let many = vec![other_id; 2000];
        assert_eq!(mine.reader.liveness(&many).await.unwrap(), vec![Dead; 2000]);
        mine.store.heartbeat().await.unwrap();
        assert_eq!(liveness(&mine, mine.id).await, Alive);
    });
}

pub fn a_process_is_known_from_its_lease_also_when_it_has_ended<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let watcher = open(fixture).await;
        let before = Timestamp::now();
        let of = Instance::new(InstanceId::random(), "loan-service").version("1.4.1").runs_on("app-2", 4711);
        let store = fixture.config().open(of.clone()).await.unwrap();
        let stranger = InstanceId::from_u64(0xfeed);
        let asked = [stranger, of.id, InstanceId::IMPORTED, InstanceId::NOBODY];
        let living = watcher.reader.processes(&asked).await.unwrap();
        store.close().await.unwrap();
        let after = Timestamp::now();
        let ended = watcher.reader.processes(&asked).await.unwrap();
        let kept = fixture.keeps_processes();
        for found in [living, ended] {
            let [None, process, None, None] = &found[..] else {
                panic!("one answer to each question: {found:?}")
            };
            assert_eq!(process.is_some(), kept, "a process, and what `StoreFixture::keeps_processes` says");
            let Some(process) = process else { return };
            assert_eq!(process.service, "loan-service");
            assert_eq!((process.version.as_deref(), process.host.as_deref()), (Some("1.4.1"), Some("app-2")));
            assert_eq!(process.pid, Some(4711));
            assert!(before <= process.started && process.started <= process.last_seen, "{process:?}");
            assert!(process.last_seen <= after, "{process:?}");
        }
        let none: [InstanceId; 0] = [];
        assert_eq!(watcher.reader.processes(&none).await.unwrap(), []);
    });
}

pub fn a_secret_is_the_same_for_everybody_and_stays<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (mine, other) = (open(fixture).await, open(fixture).await);
        let kept = mine.reader.secret().await.unwrap();
        assert_eq!(
            kept.is_some(),
            fixture.keeps_secret(),
            "a secret, and what `StoreFixture::keeps_secret` says"
        );
        let Some(secret) = kept else { return };
        assert!(secret.as_bytes().len() >= 16, "{} bytes can be guessed", secret.as_bytes().len());
        assert!(!format!("{secret:?}").contains(&format!("{:?}", secret.as_bytes())));
        assert_eq!(other.reader.secret().await.unwrap().as_ref(), Some(&secret));
        mine.close().await;
        other.close().await;
        let again = open(fixture).await;
        assert_eq!(again.reader.secret().await.unwrap().as_ref(), Some(&secret));
        let readers = fixture.config().open_readers().await.unwrap();
        assert_eq!(readers.reader.secret().await.unwrap(), Some(secret));
    });
}

pub fn an_instance_that_opens_again_is_alive_again<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let watcher = open(fixture).await;
        let first = open(fixture).await;
        let id = first.id;
        first.close().await;
        assert_eq!(liveness(&watcher, id).await, Liveness::Dead);
        let again = open_as(fixture, id).await;
        assert_eq!(liveness(&watcher, id).await, Liveness::Alive);
        again.close().await;
        assert_eq!(liveness(&watcher, id).await, Liveness::Dead);
    });
}

pub fn a_renewal_after_the_end_brings_nothing_back<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let (watcher, closed) = (open(fixture).await, open_silently(fixture).await);
        closed.store.close().await.unwrap();
        // A renewal that was under way when the store was closed; what it is answered does not matter.
        let _ = closed.store.heartbeat().await;
        assert_eq!(liveness(&watcher, closed.id).await, Liveness::Dead);
        closed.store.close().await.expect("closing again changes nothing");
        assert_eq!(liveness(&watcher, closed.id).await, Liveness::Dead);
    });
}

pub fn a_lease_expires_after_three_intervals_or_more<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        if let Lease::Heartbeat { interval, expires_after } = open(fixture).await.store.lease() {
            assert!(
                interval > Duration::ZERO && expires_after >= 3 * interval,
                "one late renewal does no harm"
            );
        }
    });
}

/// An instance that does not renew its lease, and one that watches it.
struct Silent {
    silent: OpenStore,
    watcher: OpenStore,
    interval: Duration,
    expires_after: Duration,
    /// When the silent one opened the store, and how far the store's clock was moved since.
    opened: Instant,
    advanced: Duration,
}

impl Silent {
    /// `None` if leases hold by themselves.
    async fn open(fixture: &impl StoreFixture) -> Option<Self> {
        let watcher = open(fixture).await;
        let Lease::Heartbeat { interval, expires_after } = watcher.store.lease() else { return None };
        let opened = Instant::now();
        let silent = open_silently(fixture).await;
        Some(Self { silent, watcher, interval, expires_after, opened, advanced: Duration::ZERO })
    }

    /// Whether the lease of the silent one can't have expired yet, unless it was cut short.
    fn is_fresh(&self) -> bool {
        self.opened.elapsed() + self.advanced < self.expires_after
    }

    /// Lets time pass, in which the watcher renews its lease and the other one does not.
    async fn pass(&mut self, fixture: &impl StoreFixture) {
        assert!(self.opened.elapsed() < PATIENCE + 10 * self.expires_after, "a lease never expires");
        match fixture.advance(self.interval) {
            true => self.advanced += self.interval,
            false => tokio::time::sleep(self.interval.min(Duration::from_millis(100))).await,
        }
        let renewed = Instant::now();
        self.watcher.store.heartbeat().await.unwrap();
        let stands = liveness(&self.watcher, self.watcher.id).await;
        assert!(
            stands == Liveness::Alive || renewed.elapsed() >= self.expires_after,
            "it has renewed its lease and counts as {stands:?}"
        );
    }

    /// Lets time pass until the silent one is dead.
    async fn expire(&mut self, fixture: &impl StoreFixture) {
        loop {
            let stands = liveness(&self.watcher, self.silent.id).await;
            if stands == Liveness::Dead {
                assert!(!self.is_fresh(), "it is dead before its lease has expired");
                return;
            }
            assert_eq!(stands, Liveness::Alive);
            self.pass(fixture).await;
        }
    }

    /// The silent one renews its lease after all; gives when.
    async fn renew(&self) -> Instant {
        let renewed = Instant::now();
        self.silent.store.heartbeat().await.unwrap();
        renewed
    }
}

pub fn an_instance_that_does_not_renew_its_lease_dies_when_it_expires<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let Some(mut instances) = Silent::open(fixture).await else { return };
        let mut builder = run("loan-approval").key("loan-1").instance(instances.silent.id);
        builder.begin("stage:sign");
        instances.silent.append(&builder.events()).await;
        instances.expire(fixture).await;
        let reader = &instances.watcher.reader;
        let state = async || reader.run(builder.trace_id()).await.unwrap().map(|run| run.state);
        assert_eq!(state().await, Some(RunState::Interrupted));

        // It was slow, not dead.
        let renewed = instances.renew().await;
        let (stands, state) = (liveness(&instances.watcher, instances.silent.id).await, state().await);
        if renewed.elapsed() < instances.expires_after {
            assert_eq!((stands, state), (Liveness::Alive, Some(RunState::Running)));
        }
    });
}

pub fn what_an_instance_claimed_can_be_taken_when_its_lease_has_expired<F: StoreFixture>() {
    hold(F::fresh(), async |fixture| {
        let Some(mut instances) = Silent::open(fixture).await else { return };
        let [taken, left] = ["loan-1", "loan-2"].map(TraceId::from_key);
        for trace in [taken, left] {
            let claim = instances.silent.claim(trace).await;
            assert!(claim == Claim::Granted || !instances.is_fresh());
        }
        let claim = instances.watcher.claim(taken).await;
        assert!(claim == Claim::HeldBy(instances.silent.id) || !instances.is_fresh(), "{claim:?}");
        instances.expire(fixture).await;
        let (silent, watcher) = (&instances.silent, &instances.watcher);
        assert_eq!(watcher.claim(taken).await, Claim::Granted);

        // It was slow, not dead: what was taken is gone, and not its own to give back.
        let renewed = instances.renew().await;
        assert_eq!(silent.claim(taken).await, Claim::HeldBy(watcher.id));
        silent.release(taken).await;
        let third = open(fixture).await;
        assert_eq!(third.claim(taken).await, Claim::HeldBy(watcher.id));
        let claims = (silent.claim(left).await, watcher.claim(left).await);
        if renewed.elapsed() < instances.expires_after {
            assert_eq!(
                claims,
                (Claim::Granted, Claim::HeldBy(silent.id)),
                "what nobody took is still its own"
            );
        }
    });
}
