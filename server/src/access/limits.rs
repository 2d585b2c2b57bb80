//! How often somebody may guess a password.
//!
//! A bucket of tokens for each account and network: whoever guesses at an account locks out nobody else, not even its owner, who
//! comes from elsewhere. A second bucket for each network bounds what guesses at ever new names cost in CPU time; only
//! guesses that the first one let through count there.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Guesses at one account from one network at once, and a minute.
const OF_ACCOUNT: f64 = 10.0;
/// Guesses from one network at once, and a minute: 5 % of a core.
const OF_NETWORK: f64 = 120.0;
/// Most buckets of either kind, some 150 bytes each. Above that, buckets that are full again go, then the fullest.
const MAX_BUCKETS: usize = 4_096;

/// An IPv4 address, or the network of 64 bits that one subscriber has of IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Network(IpAddr);

impl Network {
    /// Of an address.
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(IpAddr::V4(address)),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0)))
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled: Instant,
}

impl Bucket {
    fn fill(&mut self, most: f64, now: Instant) {
        let more = now.saturating_duration_since(self.filled).as_secs_f64() * most / 60.0;
        self.tokens = (self.tokens + more).min(most);
        self.filled = now;
    }
}

/// The buckets.
#[derive(Debug, Default)]
pub struct Limits {
    of_account: Mutex<HashMap<(String, Network), Bucket>>,
    of_network: Mutex<HashMap<Network, Bucket>>,
}

impl Limits {
    /// Takes a guess; or says how long to wait for the next one.
    pub fn guess(&self, account: &str, from: IpAddr, now: Instant) -> Result<(), Duration> {
        let network = Network::of(from);
        let account: String = account.chars().take(super::MAX_NAME_BYTES).collect();
        take(&self.of_account, (account, network), OF_ACCOUNT, now)?;
        take(&self.of_network, network, OF_NETWORK, now)
    }

    /// It was no guess: the password was right.
    pub fn was_right(&self, account: &str, from: IpAddr) {
        let network = Network::of(from);
        let mut all = self.of_account.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&(account.to_owned(), network));
    }

    /// Buckets that there are.
    pub fn len(&self) -> usize {
        self.of_account.lock().unwrap_or_else(PoisonError::into_inner).len()
            + self.of_network.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// There are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn take<K: std::hash::Hash + Eq + Clone>(
    buckets: &Mutex<HashMap<K, Bucket>>,
    key: K,
    most: f64,
    now: Instant,
) -> Result<(), Duration> {
    let mut all = buckets.lock().unwrap_or_else(PoisonError::into_inner);
    if all.len() >= MAX_BUCKETS && !all.contains_key(&key) {
        make_room(&mut all, most, now);
    }
    let bucket = all.entry(key).or_insert(Bucket { tokens: most, filled: now });
    bucket.fill(most, now);
    if bucket.tokens < 1.0 {
        return Err(Duration::from_secs_f64((1.0 - bucket.tokens) * 60.0 / most));
    }
    bucket.tokens -= 1.0;
    Ok(())
}

/// Removes what is full again; where nothing is, the eighth that is fullest.
fn make_room<K: std::hash::Hash + Eq + Clone>(all: &mut HashMap<K, Bucket>, most: f64, now: Instant) {
    for bucket in all.values_mut() {
        bucket.fill(most, now);
    }
    all.retain(|_, bucket| bucket.tokens < most);
    if all.len() >= MAX_BUCKETS {
        let mut by_tokens: Vec<(f64, K)> = all.iter().map(|(key, b)| (b.tokens, key.clone())).collect();
        by_tokens.sort_by(|a, b| b.0.total_cmp(&a.0));
        for (_, key) in by_tokens.into_iter().take(MAX_BUCKETS / 8) {
            all.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn v6(last: u16, subscriber: u16) -> IpAddr {
        IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, subscriber, 0, 0, 0, last))
    }

    #[test]
    fn ten_guesses_a_minute_at_one_account_and_nobody_else_is_locked_out() {
        let (limits, now) = (Limits::default(), Instant::now());
        let right = (0..1_000).filter(|_| limits.guess("alice", HERE, now).is_ok()).count();
        assert_eq!(right, 10);
        assert!(limits.guess("bob", HERE, now).is_ok(), "another account");
        assert!(limits.guess("alice", v6(1, 1), now).is_ok(), "its owner, elsewhere");
        let wait = limits.guess("alice", HERE, now).unwrap_err();
        assert!(wait <= Duration::from_secs(6), "{wait:?}");
        assert!(limits.guess("alice", HERE, now + Duration::from_secs(7)).is_ok());
        let later = now + Duration::from_mins(5);
        assert_eq!((0..1_000).filter(|_| limits.guess("alice", HERE, later).is_ok()).count(), 10);
    }

    #[test]
    fn one_subscriber_of_ipv6_is_one_network() {
        let (limits, now) = (Limits::default(), Instant::now());
        let right = (0..100).filter(|n| limits.guess("alice", v6(*n, 1), now).is_ok()).count();
        assert_eq!(right, 10);
        assert!(limits.guess("alice", v6(1, 2), now).is_ok());
        assert_eq!(Network::of("::ffff:127.0.0.1".parse().unwrap()), Network::of(HERE));
    }

    #[test]
    fn ever_new_names_are_bounded_in_cost_and_memory() {
        let (limits, now) = (Limits::default(), Instant::now());
        let right = (0..10_000).filter(|n| limits.guess(&format!("a{n}"), HERE, now).is_ok()).count();
        assert_eq!(right, 120);
        assert!(limits.len() <= MAX_BUCKETS + 1, "{}", limits.len());
    }
}
