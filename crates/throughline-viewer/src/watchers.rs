//! [`Watchers`]: how many pages are told of what is new, in all and of one client.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use axum::extract::ConnectInfo;
use axum::http::{Extensions, HeaderMap};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::problem::Problem;

/// Where a watcher is: its address, or that its proxy says; `None` where a service does not know.
type Client = Option<IpAddr>;

/// The places of those who are told of what is new.
pub(crate) struct Watchers {
    all: Arc<Semaphore>,
    of_each: usize,
    taken: Arc<Mutex<HashMap<Client, usize>>>,
}

/// The place of one watcher, until it is dropped.
pub(crate) struct Place {
    client: Client,
    taken: Arc<Mutex<HashMap<Client, usize>>>,
    _permit: OwnedSemaphorePermit,
}

impl Watchers {
    pub(crate) fn new(all: Arc<Semaphore>, of_each: usize) -> Self {
        Self { all, of_each, taken: Arc::default() }
    }

    /// How many places are free.
    pub(crate) fn free(&self) -> usize {
        self.all.available_permits()
    }

    /// A place for a client, unless it has its share already.
    pub(crate) fn place(&self, client: Client) -> Result<Place, Problem> {
        let permit = Arc::clone(&self.all)
            .try_acquire_owned()
            .map_err(|_| Problem::busy("too many pages are receiving live updates; reload this one later"))?;
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let of_client = taken.entry(client).or_default();
        // Those of whom nothing is known are not one client.
        if client.is_some() && *of_client >= self.of_each {
            return Err(Problem::too_many("you have too many pages open; close one and reload"));
        }
        *of_client += 1;
        drop(taken);
        Ok(Place { client, taken: Arc::clone(&self.taken), _permit: permit })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_client) = taken.get_mut(&self.client) {
            *of_client -= 1;
            if *of_client == 0 {
                taken.remove(&self.client);
            }
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
        let watchers = Watchers::new(Arc::new(Semaphore::new(4)), 2);
        let [ada, bob] = ["192.0.2.1", "192.0.2.2"].map(|address| Some(address.parse().unwrap()));
        let first = watchers.place(ada).unwrap();
        let _second = watchers.place(ada).unwrap();
        assert!(watchers.place(ada).is_err());
        let _third = watchers.place(bob).unwrap();
        assert_eq!(watchers.free(), 1, "who is refused takes no place");
        drop(first);
        let _fourth = watchers.place(ada).unwrap();
        let _fifth = watchers.place(bob).unwrap();
        assert!(watchers.place(None).is_err(), "in all there are four");
    }

    #[test]
    fn those_of_whom_nothing_is_known_are_not_one_client() {
        let watchers = Watchers::new(Arc::new(Semaphore::new(4)), 1);
        let places: Vec<_> = (0..4).map(|_| watchers.place(None).unwrap()).collect();
        assert!(watchers.place(None).is_err(), "in all there are four");
        drop(places);
        assert_eq!(watchers.free(), 4);
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
