//! The integration tests: one binary, a file for each capability, driving the real executable.

#[cfg(test)]
mod access;
#[cfg(test)]
mod bad_input;
#[cfg(test)]
mod brokers;
#[cfg(test)]
mod commands;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod corruption;
#[cfg(test)]
mod demo;
#[cfg(test)]
mod durability;
#[cfg(test)]
mod edges;
#[cfg(test)]
mod firm;
#[cfg(test)]
mod fortnight;
#[cfg(test)]
mod imports;
#[cfg(test)]
mod prices;
#[cfg(test)]
mod proofs;
#[cfg(test)]
mod replay;
#[cfg(test)]
mod service;
#[cfg(test)]
mod sources;
#[cfg(test)]
mod streams;
#[cfg(test)]
mod support;
#[cfg(test)]
mod synchronisation;
#[cfg(test)]
mod webhooks;
