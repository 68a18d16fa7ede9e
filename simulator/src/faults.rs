//! What goes wrong on the way, decided by dice for each answer and each message, or told beforehand.

use crate::random::{Dice, PerMillion};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What can happen to a request's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestFault {
    /// 429 before anything is done.
    TooManyRequests,
    /// This 5xx before anything is done.
    ServerError(u16),
    /// 200 with an error text, before anything is done.
    ErrorWith200,
    /// Done, and the body cut short of its `Content-Length`.
    Truncated,
    /// Done, and the body begun but never ended; or nothing at all.
    Hang,
    /// Done, and the answer comes late.
    Slow(Duration),
    /// Done, and the connection reset.
    Reset,
}

/// What can happen to a message on a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageFault {
    /// It never comes.
    Dropped,
    /// An older one comes once more before it.
    Replayed,
    /// It comes twice.
    Duplicated,
    /// It comes so much later, after others.
    Reordered(Duration),
    /// Something that is no message comes before it.
    Garbage,
    /// From now on nothing comes, not even a pong.
    Silent,
    /// The socket is closed instead.
    Closed,
    /// The connection is reset instead.
    Reset,
}

/// How often each fault happens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    /// 429.
    pub too_many_requests: PerMillion,
    /// 500, 502, 503, 504.
    pub server_error: PerMillion,
    /// 200 with an error text.
    pub error_with_200: PerMillion,
    /// Truncated bodies.
    pub truncated: PerMillion,
    /// Hanging bodies.
    pub hang: PerMillion,
    /// Late answers.
    pub slow: PerMillion,
    /// Connections reset instead of answers.
    pub reset: PerMillion,
    /// Messages that never come.
    pub dropped: PerMillion,
    /// Older messages once more.
    pub replayed: PerMillion,
    /// Messages twice.
    pub duplicated: PerMillion,
    /// Messages late.
    pub reordered: PerMillion,
    /// What is no message.
    pub garbage: PerMillion,
    /// Sockets gone silent.
    pub silent: PerMillion,
    /// Sockets closed.
    pub closed: PerMillion,
    /// Sockets reset.
    pub socket_reset: PerMillion,
}

impl Rates {
    /// Every fault at the same rate.
    #[must_use]
    pub const fn all(rate: PerMillion) -> Self {
        Self {
            too_many_requests: rate,
            server_error: rate,
            error_with_200: rate,
            truncated: rate,
            hang: rate,
            slow: rate,
            reset: rate,
            dropped: rate,
            replayed: rate,
            duplicated: rate,
            reordered: rate,
            garbage: rate,
            silent: rate,
            closed: rate,
            socket_reset: rate,
        }
    }
}

/// A plan of faults: the same seed and the same course of requests give the same faults.
#[derive(Clone, Debug)]
pub struct Faults {
    /// May be changed at any time; zero everywhere is a faultless world.
    pub rates: Rates,
    rest: Dice,
    socket: Dice,
    next_answers: VecDeque<Option<RestFault>>,
    next_messages: VecDeque<Option<MessageFault>>,
    counts: BTreeMap<&'static str, u64>,
}

impl Faults {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            rates: Rates::default(),
            rest: Dice::new(seed, "faults of answers"),
            socket: Dice::new(seed, "faults of messages"),
            next_answers: VecDeque::new(),
            next_messages: VecDeque::new(),
            counts: BTreeMap::new(),
        }
    }

    /// Decides the next answers one by one, before any dice: a fault, or none.
    pub fn next_answers(&mut self, faults: impl IntoIterator<Item = Option<RestFault>>) {
        self.next_answers.extend(faults);
    }

    /// Decides the next messages one by one, before any dice: a fault, or none.
    pub fn next_messages(&mut self, faults: impl IntoIterator<Item = Option<MessageFault>>) {
        self.next_messages.extend(faults);
    }

    /// How often each fault happened, by its name.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<&'static str, u64> {
        &self.counts
    }

    pub(crate) fn for_answer(&mut self) -> Option<RestFault> {
        let fault = match self.next_answers.pop_front() {
            Some(told) => told,
            None => self.thrown_for_answer(),
        }?;
        *self.counts.entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    fn thrown_for_answer(&mut self) -> Option<RestFault> {
        let (dice, rates) = (&mut self.rest, self.rates);
        if dice.chance(rates.too_many_requests) {
            return Some(RestFault::TooManyRequests);
        }
        if dice.chance(rates.server_error) {
            return Some(RestFault::ServerError(dice.pick(&[500, 502, 503, 504]).copied().unwrap_or(500)));
        }
        if dice.chance(rates.error_with_200) {
            return Some(RestFault::ErrorWith200);
        }
        if dice.chance(rates.truncated) {
            return Some(RestFault::Truncated);
        }
        if dice.chance(rates.hang) {
            return Some(RestFault::Hang);
        }
        if dice.chance(rates.slow) {
            return Some(RestFault::Slow(Duration::from_millis(50 + dice.below(3_000))));
        }
        dice.chance(rates.reset).then_some(RestFault::Reset)
    }

    pub(crate) fn for_message(&mut self) -> Option<MessageFault> {
        let fault = match self.next_messages.pop_front() {
            Some(told) => told,
            None => self.thrown_for_message(),
        }?;
        *self.counts.entry(fault.name()).or_default() += 1;
        Some(fault)
    }

    fn thrown_for_message(&mut self) -> Option<MessageFault> {
        let (dice, rates) = (&mut self.socket, self.rates);
        let of_no_length = [
            (rates.dropped, MessageFault::Dropped),
            (rates.replayed, MessageFault::Replayed),
            (rates.duplicated, MessageFault::Duplicated),
            (rates.garbage, MessageFault::Garbage),
            (rates.silent, MessageFault::Silent),
            (rates.closed, MessageFault::Closed),
            (rates.socket_reset, MessageFault::Reset),
        ];
        for (rate, fault) in of_no_length {
            if dice.chance(rate) {
                return Some(fault);
            }
        }
        dice.chance(rates.reordered)
            .then(|| MessageFault::Reordered(Duration::from_millis(20 + dice.below(2_000))))
    }

    /// A number below `end` from the dice of answers.
    pub(crate) fn cut(&mut self, end: usize) -> usize {
        usize::try_from(self.rest.below(end as u64)).unwrap_or(0)
    }

    /// A number below `end` from the dice of messages.
    pub(crate) fn back(&mut self, end: u64) -> u64 {
        self.socket.below(end)
    }
}

impl RestFault {
    /// Its name in [`Faults::counts`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::TooManyRequests => "429",
            Self::ServerError(_) => "5xx",
            Self::ErrorWith200 => "error with 200",
            Self::Truncated => "truncated",
            Self::Hang => "hang",
            Self::Slow(_) => "slow",
            Self::Reset => "reset",
        }
    }
}

impl MessageFault {
    /// Its name in [`Faults::counts`].
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dropped => "dropped",
            Self::Replayed => "replayed",
            Self::Duplicated => "duplicated",
            Self::Reordered(_) => "reordered",
            Self::Garbage => "garbage",
            Self::Silent => "silent",
            Self::Closed => "closed",
            Self::Reset => "socket reset",
        }
    }
}
