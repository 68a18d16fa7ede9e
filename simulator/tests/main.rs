//! What the stand-in promises, asked through its public interface: one binary, a file for each capability.

#[cfg(test)]
mod activities;
#[cfg(test)]
mod any_request;
#[cfg(test)]
mod data;
#[cfg(test)]
mod faults;
#[cfg(test)]
mod robinhood;
#[cfg(test)]
mod server;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod support;
#[cfg(test)]
mod trading;
