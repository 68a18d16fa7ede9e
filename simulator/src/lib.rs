//! A market and a stand-in broker from a seed.
//!
//! [`World`] is the whole of it: it answers requests as Alpaca's REST services do and feeds [`Socket`]s, knows no clock, no
//! network and no thread, and does the same again from the same seed and the same calls. What its transport has to spoil
//! it says itself ([`Answer`], [`Outgoing`]), so that a simulated network can act it out as well as a real one. [`StandIn`]
//! puts it on a real port.
//!
//! ```
//! use daybook_schemas::Timestamp;
//! use daybook_simulator::{Keys, Life, PerMillion, Rates, Request, World};
//!
//! let start = Timestamp::parse("2024-06-03T14:00:00Z")?;
//! let mut world = World::new(42, start);
//! world.open(&Keys::new("KEY", "SECRET"), true, 100_000.into());
//! world.animate(Life::new(42, "KEY", 600));
//! world.faults.rates = Rates::all(PerMillion::percent(1));
//! let later = start.plus_nanos(60_000_000_000);
//! let fills = Request::get("/v2/account/activities/FILL?direction=asc").with_keys("KEY", "SECRET");
//! if let Some(response) = world.handle(&fills, later).response() {
//!     println!("{} {}", response.status, response.body_json());
//! }
//! assert!(!world.books("KEY")?.fills.is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Of the code under test nothing is shared but the vocabulary's decimals, times and calendar: a misunderstanding of the
//! broker shows as a difference.

pub mod broker;
pub mod calendar;
pub mod faults;
pub mod life;
pub mod market;
mod random;
mod routes;
pub mod server;
pub mod socket;
pub mod wire;
pub mod world;

pub use broker::{AccountNo, Books, Broker, BrokerError, Keys};
pub use faults::{Faults, MessageFault, Rates, RestFault};
pub use life::Life;
pub use market::{Hours, Market};
pub use random::PerMillion;
pub use server::{Clock, FastClock, Running, StandIn, SystemClock};
pub use socket::{Incoming, Outgoing, Socket, SocketKind};
pub use wire::{Answer, Request, Response};
pub use world::{Event, Limits, Matching, World};
