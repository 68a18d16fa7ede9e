//! Whose turn it is: what is held and followed is priced by the most trusted feed that can, and by the next one while that
//! cannot. A feed with symbols of its own is asked for those whatever the others do.

use crate::config::{BarSize, PriceFeed};
use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use tokio::sync::Notify;

/// The feeds, the most trusted first.
#[derive(Debug)]
pub(super) struct Rota {
    followed: Vec<String>,
    /// The symbols of each feed's own.
    own: Vec<Vec<String>>,
    /// What each feed prices at all.
    sizes: Vec<BTreeSet<BarSize>>,
    now: Mutex<Now>,
    /// Rung when a feed announced a corporate action.
    pub(super) announced: Notify,
}

#[derive(Debug, Default)]
struct Now {
    failing: BTreeSet<usize>,
    /// What a feed does not know bars of a size of.
    strangers: BTreeSet<(usize, BarSize, String)>,
}

impl Rota {
    pub(super) fn new(followed: &[String], feeds: &[PriceFeed]) -> Self {
        Self {
            followed: followed.to_vec(),
            own: feeds.iter().map(|feed| feed.symbols.clone()).collect(),
            sizes: feeds.iter().map(|feed| feed.bars.iter().copied().collect()).collect(),
            now: Mutex::default(),
            announced: Notify::new(),
        }
    }

    /// Whether a feed has symbols of its own.
    pub(super) fn is_own(&self, place: usize) -> bool {
        self.own.get(place).is_some_and(|own| !own.is_empty())
    }

    /// The names that a feed is asked for, beside what is held.
    pub(super) fn names(&self, place: usize) -> &[String] {
        match self.own.get(place) {
            Some(own) if !own.is_empty() => own,
            _ => &self.followed,
        }
    }

    /// Whether a symbol is for this feed to price now, and not for one that is trusted more.
    pub(super) fn is_its_turn(&self, place: usize, symbol: &str) -> bool {
        if self.is_own(place) {
            return true;
        }
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let strange = |other: usize, size: BarSize| now.strangers.contains(&(other, size, symbol.to_owned()));
        let prices = |other: usize| {
            !self.is_own(other)
                && !now.failing.contains(&other)
                && self.sizes[place].is_subset(&self.sizes[other])
                && !self.sizes[place].iter().any(|size| strange(other, *size))
        };
        !(0..place).any(prices)
    }

    /// How a feed's last round went.
    pub(super) fn report(&self, place: usize, well: bool) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        if well {
            now.failing.remove(&place);
        } else {
            now.failing.insert(place);
        }
    }

    /// Whether a feed does not know bars of a size of a symbol.
    pub(super) fn stranger(&self, place: usize, symbol: &str, size: BarSize, strange: bool) {
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        let who = (place, size, symbol.to_owned());
        if strange {
            now.strangers.insert(who);
        } else {
            now.strangers.remove(&who);
        }
    }
}
