//! How many connections each network has, in memory only and by a keyed hash: no address is kept.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

/// Connections by network.
#[derive(Debug)]
pub(super) struct Networks {
    most: usize,
    /// Made when the server starts, and known to nobody.
    key: RandomState,
    open: Arc<Mutex<HashMap<u64, usize>>>,
}

/// A connection that counts for its network until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    network: u64,
    open: Arc<Mutex<HashMap<u64, usize>>>,
}

impl Networks {
    pub(super) fn new(most: usize) -> Self {
        Self { most, key: RandomState::new(), open: Arc::default() }
    }

    /// A place for one more connection, or nothing if its network has too many.
    pub(super) fn enter(&self, address: SocketAddr) -> Option<Place> {
        let (network, most) = match address.ip().to_canonical() {
            // A proxy on this machine, or a user who could do worse.
            ip if ip.is_loopback() => (self.key.hash_one("loopback"), usize::MAX),
            IpAddr::V4(ip) => (self.key.hash_one(u32::from(ip) >> 8), self.most),
            IpAddr::V6(ip) => (self.key.hash_one(u128::from(ip) >> 80), self.most),
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(network).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        Some(Place { network, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.network) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.network);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enter(networks: &Networks, ip: &str) -> Option<Place> {
        networks.enter(SocketAddr::new(ip.parse().unwrap(), 9))
    }

    #[test]
    fn a_network_cannot_take_the_places_of_others() {
        let networks = Networks::new(2);
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
}
