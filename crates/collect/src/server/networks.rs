//! The quota of each network. Networks are kept in memory only, as keyed hashes, so no address is kept.
//!
//! Connections are counted while they last, requests within a minute. What is known of a network is forgotten when its
//! last connection is closed and its minute is over.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Requests are counted within this time.
const MINUTE: Duration = Duration::from_secs(60);
/// Networks whose requests are told apart within a minute, some 8 MB. Those beyond share one quota: a flood from millions
/// of networks must not fill the memory.
const MAX_NETWORKS: usize = 1 << 18;
/// What networks beyond [`MAX_NETWORKS`] are counted as.
const OTHERS: u64 = 0;

/// A network, as a keyed hash. Loopback is none: it is a proxy on this machine, or a user who could do worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Network(Option<u64>);

#[cfg(test)]
impl Network {
    /// That of loopback.
    pub(super) fn of_tests() -> Self {
        Self(None)
    }
}

/// Connections and requests by network.
#[derive(Debug)]
pub(super) struct Networks {
    most_connections: usize,
    /// In a minute.
    most_requests: u32,
    /// Made when the server starts, and known to nobody.
    key: RandomState,
    open: Arc<Mutex<HashMap<u64, usize>>>,
    requests: Mutex<Requests>,
}

/// The requests of this minute.
#[derive(Debug)]
struct Requests {
    since: Instant,
    by_network: HashMap<u64, u32>,
}

/// A connection that counts for its network until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    network: Network,
    open: Arc<Mutex<HashMap<u64, usize>>>,
}

impl Networks {
    pub(super) fn new(most_connections: usize, most_requests: u32, now: Instant) -> Self {
        let requests = Mutex::new(Requests { since: now, by_network: HashMap::new() });
        Self { most_connections, most_requests, key: RandomState::new(), open: Arc::default(), requests }
    }

    /// The network of an address: a /24, or a /48 of IPv6.
    pub(super) fn of(&self, address: SocketAddr) -> Network {
        Network(match address.ip().to_canonical() {
            ip if ip.is_loopback() => None,
            IpAddr::V4(ip) => Some(self.key.hash_one(u32::from(ip) >> 8)),
            IpAddr::V6(ip) => Some(self.key.hash_one(u128::from(ip) >> 80)),
        })
    }

    /// A place for one more connection, or nothing if its network has too many.
    pub(super) fn enter(&self, network: Network) -> Option<ConnectionPermit> {
        if let Some(hash) = network.0 {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let count = open.entry(hash).or_default();
            if *count >= self.most_connections {
                return None;
            }
            *count += 1;
        }
        Some(ConnectionPermit { network, open: Arc::clone(&self.open) })
    }

    /// Counts a request, and returns whether its network may have it in this minute.
    pub(super) fn admits(&self, network: Network, now: Instant) -> bool {
        let Some(hash) = network.0 else { return true };
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(requests.since) >= MINUTE {
            *requests = Requests { since: now, by_network: HashMap::new() };
        }
        let is_full = requests.by_network.len() >= MAX_NETWORKS;
        let is_other = is_full && !requests.by_network.contains_key(&hash);
        let count = requests.by_network.entry(if is_other { OTHERS } else { hash }).or_default();
        *count = count.saturating_add(1);
        *count <= self.most_requests
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let Some(hash) = self.network.0 else { return };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&hash) {
            *count -= 1;
            if *count == 0 {
                open.remove(&hash);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(networks: &Networks, ip: &str) -> Network {
        networks.of(SocketAddr::new(ip.parse().unwrap(), 9))
    }

    fn enter(networks: &Networks, ip: &str) -> Option<ConnectionPermit> {
        networks.enter(network(networks, ip))
    }

    #[test]
    fn a_network_cannot_take_the_places_of_others() {
        let networks = Networks::new(2, 1, Instant::now());
        let places = [enter(&networks, "192.0.2.1"), enter(&networks, "192.0.2.200")];
        assert!(places.iter().all(Option::is_some));
        assert!(enter(&networks, "192.0.2.3").is_none());
        assert!(enter(&networks, "::ffff:192.0.2.3").is_none());
        assert!(enter(&networks, "192.0.3.3").is_some());
        drop(places);
        assert!(enter(&networks, "192.0.2.3").is_some());
        let own = [enter(&networks, "2001:db8:1::1"), enter(&networks, "2001:db8:1:ffff::1")];
        assert!(own.iter().all(Option::is_some) && enter(&networks, "2001:db8:1::2").is_none());
        assert!(enter(&networks, "2001:db8:2::1").is_some());
        let loopback: Vec<_> = (0..10).map(|_| enter(&networks, "127.0.0.1")).collect();
        assert!(loopback.iter().all(Option::is_some));
        drop((own, loopback));
        assert!(networks.open.lock().unwrap().is_empty());
    }

    #[test]
    fn a_network_has_its_requests_a_minute_and_others_have_theirs() {
        let start = Instant::now();
        let networks = Networks::new(1, 3, start);
        let admits = |ip: &str, second: u64| {
            networks.admits(network(&networks, ip), start + Duration::from_secs(second))
        };
        assert_eq!(
            [0, 1, 2, 3, 59].map(|second| admits("192.0.2.1", second)),
            [true, true, true, false, false]
        );
        assert!(!admits("192.0.2.77", 59) && admits("192.0.3.1", 59));
        assert!(admits("192.0.2.1", 60));
        assert!((0..1_000).all(|second| admits("127.0.0.1", second)));
    }

    #[test]
    fn a_flood_from_many_networks_shares_one_quota_and_fills_no_memory() {
        let start = Instant::now();
        let networks = Networks::new(1, 3, start);
        let admitted = (0..MAX_NETWORKS as u32 + 1_000)
            .filter(|number| {
                let ip = IpAddr::V4((number << 8).into()).to_canonical();
                networks.admits(networks.of(SocketAddr::new(ip, 9)), start)
            })
            .count();
        // 127.0.0.0/8 is loopback and not among so few.
        assert_eq!(admitted, MAX_NETWORKS + 3);
        assert_eq!(networks.requests.lock().unwrap().by_network.len(), MAX_NETWORKS + 1);
    }
}
