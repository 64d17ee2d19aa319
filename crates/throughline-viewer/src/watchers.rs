//! [`Watchers`]: how many pages are told of what is new, in all and of one client.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Where a watcher is: its address, or that its proxy says; `None` where a service does not know.
type Client = Option<IpAddr>;

/// So many connections one client may open at once for each place that it may take, before it has to wait.
const AT_ONCE: u32 = 2;
/// How long a connection lasts on average where a client opens no more than it may: pages come back after 20 seconds.
const LASTS_AT_LEAST: Duration = Duration::from_secs(10);
/// How many clients are remembered that have no connection any more.
const REMEMBERED: usize = 1_000;

/// The places of those who are told of what is new.
pub(crate) struct Watchers {
    all: Arc<Semaphore>,
    most: usize,
    of_each: usize,
    taken: Arc<Mutex<Taken>>,
}

/// What each client has.
type Taken = HashMap<Client, Share>;

/// What a client has.
struct Share {
    places: usize,
    /// When all that it opened would be used up at the pace that it may open them.
    spent_until: Instant,
}

/// The place of one watcher, until it is dropped.
pub(crate) struct Place {
    client: Client,
    taken: Arc<Mutex<Taken>>,
    _permit: OwnedSemaphorePermit,
}

impl Watchers {
    pub(crate) fn new(most: usize, of_each: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(most)), most, of_each, taken: Arc::default() }
    }

    /// How many places there are.
    pub(crate) fn most(&self) -> usize {
        self.most
    }

    /// How many places are free.
    pub(crate) fn free(&self) -> usize {
        self.all.available_permits()
    }

    /// A place for a client, unless it has its share already, or opens one connection after the other.
    pub(crate) fn place(&self, client: Client, now: Instant) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| Problem::busy("too many pages are receiving live updates; reload this one later"))?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.len() > REMEMBERED {
            taken.retain(|_, share| share.places > 0 || share.spent_until > now);
        }
        let share = taken.entry(client).or_insert(Share { places: 0, spent_until: now });
        // Those of whom nothing is known are not one client.
        if client.is_some() {
            if share.places >= self.of_each {
                return Err(Problem::too_many("you have too many pages open; close one and reload"));
            }
            let of_each = u32::try_from(self.of_each).unwrap_or(u32::MAX);
            let left = share.spent_until.saturating_duration_since(now);
            let spent = left.saturating_add(LASTS_AT_LEAST / of_each);
            if spent > LASTS_AT_LEAST.saturating_mul(AT_ONCE) {
                return Err(Problem::too_many(
                    "you opened too many connections one after the other; wait, and reload",
                ));
            }
            share.spent_until = now.checked_add(spent).unwrap_or(now);
        }
        share.places += 1;
        drop(taken);
        Ok(Place { client, taken: Arc::clone(&self.taken), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = taken.get_mut(&self.client) {
            share.places -= 1;
        }
    }
}

/// Who asks. Behind a proxy that is the address which the proxy itself added, the last one; what stands before it anybody can make up.
/// Some add the port, too.
pub(crate) fn client(extensions: &Extensions, headers: &HeaderMap) -> Client {
    let forwarded = headers.get_all("x-forwarded-for").iter().next_back();
    let forwarded = forwarded.and_then(|value| address(value.to_str().ok()?.rsplit(',').next()?.trim()));
    let peer = || extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
    forwarded.or_else(peer).map(|address: IpAddr| address.to_canonical())
}

/// An address with or without a port; one of IPv6 may be in brackets.
fn address(text: &str) -> Option<IpAddr> {
    let without_port = || text.parse::<SocketAddr>().map(|address| address.ip()).ok();
    let in_brackets = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    text.parse().ok().or_else(without_port).or_else(in_brackets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_one_client_so_many_watch_and_others_still_may() {
        let (watchers, now) = (Watchers::new(4, 2), Instant::now());
        let [ada, bob] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        let first = watchers.place(ada, now).unwrap();
        let _second = watchers.place(ada, now).unwrap();
        assert!(watchers.place(ada, now).is_err());
        let _third = watchers.place(bob, now).unwrap();
        assert_eq!(watchers.free(), 1, "who is refused takes no place");
        drop(first);
        let _fourth = watchers.place(ada, now).unwrap();
        let _fifth = watchers.place(bob, now).unwrap();
        assert!(watchers.place(None, now).is_err(), "in all there are four");
    }

    #[test]
    fn those_of_whom_nothing_is_known_are_not_one_client() {
        let (watchers, now) = (Watchers::new(4, 1), Instant::now());
        let places: Vec<_> = (0..4).map(|_| watchers.place(None, now).unwrap()).collect();
        assert!(watchers.place(None, now).is_err(), "in all there are four");
        drop(places);
        assert_eq!(watchers.free(), 4);
        (0..100).for_each(|_| drop(watchers.place(None, now).unwrap()));
    }

    #[test]
    fn who_opens_one_connection_after_the_other_has_to_wait() {
        let (watchers, now) = (Watchers::new(9, 5), Instant::now());
        let [ada, bob] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        // Each is closed at once.
        let opened = (0..100).take_while(|_| watchers.place(ada, now).is_ok()).count();
        assert_eq!(opened, 10);
        assert!(watchers.place(bob, now).is_ok(), "others do not wait");
        assert!(watchers.place(ada, now + Duration::from_millis(1_999)).is_err());
        assert!(watchers.place(ada, now + Duration::from_millis(2_000)).is_ok());
        assert!(watchers.place(ada, now + Duration::from_millis(2_000)).is_err());
        // At its pace it may go on for ever.
        (1..1_000)
            .for_each(|second| drop(watchers.place(ada, now + Duration::from_secs(2 * second + 2)).unwrap()));
    }

    #[test]
    fn clients_that_are_gone_are_forgotten() {
        let (watchers, now) = (Watchers::new(9, 5), Instant::now());
        for number in 0..10_000_u32 {
            let client = Some(IpAddr::from(number.to_be_bytes()));
            drop(watchers.place(client, now + Duration::from_millis(u64::from(number) * 10)).unwrap());
        }
        let remembered = watchers.taken.lock().unwrap().len();
        assert!(remembered <= 2 * REMEMBERED + 2, "{remembered} clients");
    }

    #[test]
    fn behind_a_proxy_a_client_is_the_address_that_the_proxy_added() {
        let peer: SocketAddr = "127.0.0.1:9".parse().unwrap();
        let mut extensions = Extensions::new();
        extensions.insert(ConnectInfo(peer));
        assert_eq!(client(&extensions, &HeaderMap::new()), Some(peer.ip()));
        let mut headers = HeaderMap::new();
        headers.insert("x-forwarded-for", "203.0.113.9, 192.0.2.1".parse().unwrap());
        assert_eq!(client(&extensions, &headers), Some("192.0.2.1".parse().unwrap()));
        for (said, address) in [
            ("203.0.113.9, 192.0.2.1:4711", "192.0.2.1"),
            ("[2001:db8::1]:4711", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
        ] {
            headers.insert("x-forwarded-for", said.parse().unwrap());
            assert_eq!(client(&extensions, &headers), Some(address.parse().unwrap()), "{said}");
        }
        assert_eq!(client(&Extensions::new(), &HeaderMap::new()), None);
    }
}
