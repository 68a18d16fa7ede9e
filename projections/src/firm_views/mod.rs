//! What each person of the firm sees: the advisor, the firm itself, the client.

mod terms;

pub use terms::InForce;
