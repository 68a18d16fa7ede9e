//! Who may ask for a signature to be checked: so much from one address and of one source, until it is signed rightly.
//!
//! Whoever has no secret can make the service read a body and hash it, no more. How often is bounded here by two buckets
//! that refill steadily, one for each address and one for each name of a source, whether there is a source of that name
//! or not. An address from which a source was lately signed for rightly does without them, so that a stranger who
//! empties a source's bucket does not shut out those who send already.

use governor::clock::{Clock, DefaultClock};
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Deliveries that one address may send at once and then each second, none of them signed rightly.
const OF_ADDRESS: (u32, u32) = (60, 1);
/// The same of one name of a source, from all addresses together.
const OF_SOURCE: (u32, u32) = (300, 5);
/// Names share this many buckets: as many as there are, known or made up, they cost no more memory.
const SOURCE_BUCKETS: u16 = 1_024;
/// Beyond so many addresses, those whose buckets are full again are forgotten.
const ADDRESSES_MAX: usize = 10_000;
/// The most addresses that are remembered because a source was signed for rightly from there.
const SIGNERS_MAX: usize = 10_000;

type Buckets<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock>;

/// The buckets, and who does without them.
#[derive(Debug)]
pub(crate) struct Admission {
    addresses: Buckets<IpAddr>,
    sources: Buckets<u16>,
    clock: DefaultClock,
    /// When each was last signed for rightly: a source, and the address.
    signers: Mutex<BTreeMap<(String, IpAddr), Instant>>,
}

impl Default for Admission {
    fn default() -> Self {
        Self {
            addresses: RateLimiter::hashmap(quota(OF_ADDRESS)),
            sources: RateLimiter::hashmap(quota(OF_SOURCE)),
            clock: DefaultClock::default(),
            signers: Mutex::default(),
        }
    }
}

impl Admission {
    /// Whether a delivery of a source is looked at that comes from an address; if not, how long to wait.
    pub(crate) fn admit(&self, source: &str, address: IpAddr) -> Result<(), Duration> {
        let address = subscriber(address);
        let mut signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(last) = signers.get_mut(&(source.to_owned(), address)) {
            *last = Instant::now();
            return Ok(());
        }
        drop(signers);
        if self.addresses.len() > ADDRESSES_MAX {
            self.addresses.retain_recent();
        }
        self.take(&self.addresses, &address)?;
        self.take(&self.sources, &bucket_of(source))
    }

    /// Remembers that a source was signed for rightly from an address.
    pub(crate) fn signed(&self, source: &str, address: IpAddr) {
        let mut signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        signers.insert((source.to_owned(), subscriber(address)), Instant::now());
        if signers.len() > SIGNERS_MAX
            && let Some(oldest) = signers.iter().min_by_key(|(_, last)| **last).map(|(who, _)| who.clone())
        {
            signers.remove(&oldest);
        }
    }

    /// Notes that something was not signed rightly: an address that does so more often than its bucket allows no longer
    /// does without one.
    pub(crate) fn refused(&self, source: &str, address: IpAddr) {
        let address = subscriber(address);
        let who = (source.to_owned(), address);
        let mut signers = self.signers.lock().unwrap_or_else(PoisonError::into_inner);
        if signers.contains_key(&who) && self.addresses.check_key(&address).is_err() {
            signers.remove(&who);
        }
    }

    fn take<K: std::hash::Hash + Eq + Clone>(&self, buckets: &Buckets<K>, key: &K) -> Result<(), Duration> {
        buckets.check_key(key).map_err(|until| until.wait_time_from(self.clock.now()))
    }
}

fn quota((at_once, each_second): (u32, u32)) -> Quota {
    let some = |count| NonZeroU32::new(count).expect("the limits above are not zero");
    Quota::per_second(some(each_second)).allow_burst(some(at_once))
}

/// Whom an address stands for: of version 6, one subscriber has all addresses that begin with the same 64 bits.
fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() >> 64 << 64).into()),
    }
}

fn bucket_of(source: &str) -> u16 {
    let hash = blake3::hash(source.as_bytes());
    u16::from_le_bytes([hash.as_bytes()[0], hash.as_bytes()[1]]) % SOURCE_BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    /// How many of a thousand deliveries are looked at.
    fn admitted(admission: &Admission, source: &str, address: impl Fn(u16) -> IpAddr) -> usize {
        (0..1_000).filter(|number| admission.admit(source, address(*number)).is_ok()).count()
    }

    #[test]
    fn an_address_that_never_signs_rightly_is_heard_so_often_whatever_sources_it_names() {
        let admission = Admission::default();
        let heard =
            (0..1_000).filter(|number| admission.admit(&format!("s{number}"), ip("10.0.0.1")).is_ok());
        let heard = heard.count();
        assert!((60..65).contains(&heard), "{heard}");
        let wait = admission.admit("desk", ip("10.0.0.1")).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        assert!(admission.admit("desk", ip("10.0.0.2")).is_ok());
    }

    #[test]
    fn a_source_is_asked_for_so_often_from_however_many_addresses_and_whether_it_is_there_or_not() {
        let of = |number: u16| IpAddr::from([10, 1, number.to_be_bytes()[0], number.to_be_bytes()[1]]);
        let admission = Admission::default();
        let heard = admitted(&admission, "desk", of);
        assert!((300..320).contains(&heard), "{heard}");
        assert!(admission.admit("another", ip("10.0.0.3")).is_ok());
    }

    #[test]
    fn who_signed_rightly_is_heard_while_a_stranger_empties_the_buckets() {
        let admission = Admission::default();
        assert!(admission.admit("desk", ip("10.0.0.9")).is_ok());
        admission.signed("desk", ip("10.0.0.9"));
        admitted(&admission, "desk", |number| IpAddr::from([10, 1, 0, number.to_be_bytes()[1]]));
        assert!(admission.admit("desk", ip("10.0.0.8")).is_err());
        assert_eq!(admitted(&admission, "desk", |_| ip("10.0.0.9")), 1_000);
        // A right signature for one source is none for another.
        let heard = admitted(&admission, "other", |_| ip("10.0.0.9"));
        assert!(heard < 65, "{heard}");
    }

    #[test]
    fn who_signed_rightly_once_and_wrongly_ever_after_is_a_stranger_again() {
        let admission = Admission::default();
        admission.signed("desk", ip("10.0.0.9"));
        let mut heard = 0;
        while heard < 1_000 && admission.admit("desk", ip("10.0.0.9")).is_ok() {
            admission.refused("desk", ip("10.0.0.9"));
            heard += 1;
        }
        assert!((60..70).contains(&heard), "{heard}");
    }

    #[test]
    fn addresses_of_one_subscriber_are_one_and_no_number_of_them_costs_more_memory() {
        assert_eq!(subscriber(ip("2001:db8:1:2:3::4")), subscriber(ip("2001:db8:1:2::")));
        assert_ne!(subscriber(ip("2001:db8:1:2::")), subscriber(ip("2001:db8:1:3::")));
        assert_eq!(subscriber(ip("::ffff:10.0.0.1")), ip("10.0.0.1"));
        let admission = Admission::default();
        for number in 0..SIGNERS_MAX + 10 {
            let low = u32::try_from(number).unwrap();
            admission.signed("desk", IpAddr::from(low.to_be_bytes()));
        }
        assert_eq!(admission.signers.lock().unwrap().len(), SIGNERS_MAX);
    }
}
