//! How many requests a token may make: a bucket for each token that refills steadily, and what its bearer is told of it.

use super::problem::{Kind, Problem};
use crate::config::Rate;
use daybook_schemas::TokenId;
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use poem::http::HeaderMap;
use poem::http::header::{HeaderName, HeaderValue, RETRY_AFTER};
use std::time::Duration;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

type Buckets = RateLimiter<TokenId, HashMapStateStore<TokenId>, DefaultClock, StateInformationMiddleware>;

/// A bucket for each token.
pub(super) struct Rates {
    buckets: Buckets,
    clock: DefaultClock,
    rate: Rate,
    policy: HeaderValue,
}

/// What a token may still do.
#[derive(Clone, Debug)]
pub(super) struct Allowance {
    policy: HeaderValue,
    /// Requests it may make at once.
    remaining: u32,
    /// Until its bucket is full again.
    full_in: Duration,
}

impl Rates {
    /// Buckets that hold and refill as the rate says.
    pub(super) fn new(rate: Rate) -> Self {
        // A rate is bounded where it is read, so that the time for one request is never nothing.
        let each = (rate.per / rate.requests.get()).max(Duration::from_nanos(1));
        let quota = Quota::with_period(each)
            .expect("the time for one request is at least a nanosecond")
            .allow_burst(rate.requests);
        let window = rate.per.as_secs_f64().ceil();
        let policy = HeaderValue::from_str(&format!("\"token\";q={};w={window}", rate.requests))
            .expect("two numbers are a header");
        let buckets = RateLimiter::hashmap(quota).with_middleware::<StateInformationMiddleware>();
        Self { buckets, clock: DefaultClock::default(), rate, policy }
    }

    /// Takes a request from a token's bucket; what is left in it, and if it was empty, why the request is refused.
    pub(super) fn take(&self, token: TokenId) -> (Allowance, Result<(), Problem>) {
        let each = self.rate.per / self.rate.requests.get();
        match self.buckets.check_key(&token) {
            Ok(left) => {
                let remaining = left.remaining_burst_capacity();
                let full_in = each * self.rate.requests.get().saturating_sub(remaining);
                (Allowance { policy: self.policy.clone(), remaining, full_in }, Ok(()))
            }
            Err(until) => {
                let wait = until.wait_time_from(self.clock.now());
                let allowance =
                    Allowance { policy: self.policy.clone(), remaining: 0, full_in: self.rate.per };
                let seconds = whole_seconds(wait).max(1);
                let problem = Problem::new(
                    Kind::RateLimited,
                    format!(
                        "a token may make {} requests in {} s: go on in {seconds} s",
                        self.rate.requests,
                        self.rate.per.as_secs_f64()
                    ),
                );
                (allowance, Err(problem.with(RETRY_AFTER, &seconds.to_string())))
            }
        }
    }
}

impl Allowance {
    /// Tells the bearer.
    pub(super) fn tell(self, headers: &mut HeaderMap) {
        let standing = format!("\"token\";r={};t={}", self.remaining, whole_seconds(self.full_in));
        if let Ok(standing) = HeaderValue::from_str(&standing) {
            headers.insert(STANDING, standing);
        }
        headers.insert(POLICY, self.policy);
    }
}

/// A duration in seconds, rounded up.
fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::NonZeroU32;

    fn token(byte: u8) -> TokenId {
        TokenId::from_bytes([byte; 16])
    }

    #[test]
    fn a_token_that_used_up_its_bucket_waits_and_another_does_not() {
        let requests = NonZeroU32::new(3).unwrap();
        let rates = Rates::new(Rate { requests, per: Duration::from_secs(3_600) });
        for left in [2, 1, 0] {
            let (allowance, taken) = rates.take(token(1));
            assert!(taken.is_ok());
            assert_eq!(allowance.remaining, left);
        }
        let (_, refused) = rates.take(token(1));
        assert_eq!(refused.unwrap_err().kind(), Kind::RateLimited);
        assert!(rates.take(token(2)).1.is_ok());
    }

    #[test]
    fn a_bucket_refills_steadily() {
        let requests = NonZeroU32::new(2).unwrap();
        let rates = Rates::new(Rate { requests, per: Duration::from_millis(200) });
        while rates.take(token(1)).1.is_ok() {}
        std::thread::sleep(Duration::from_millis(150));
        assert!(rates.take(token(1)).1.is_ok());
    }

    #[test]
    fn a_bearer_is_told_the_policy_and_what_is_left() {
        let requests = NonZeroU32::new(600).unwrap();
        let rates = Rates::new(Rate { requests, per: Duration::from_secs(60) });
        let mut headers = HeaderMap::new();
        rates.take(token(1)).0.tell(&mut headers);
        assert_eq!(headers["ratelimit-policy"], "\"token\";q=600;w=60");
        assert_eq!(headers["ratelimit"], "\"token\";r=599;t=1");
    }
}
