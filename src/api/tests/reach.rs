//! The doors behind the gate: what a route is given and what the journal writes, each within the caller's reach alone.

use super::Daybook;
use crate::api::access::{self, Caller};
use crate::api::scalar::Portfolio;
use crate::journal::{Author, JournalError, NewBenchmark, Terms, within};
use daybook_projections::{NamedReach, Reach};
use daybook_schemas::events::Role;
use daybook_schemas::{CorrelationId, PortfolioId};
use poem_openapi::types::ParseFromParameter;
use std::sync::Arc;

#[tokio::test]
async fn an_id_that_a_route_reads_is_held_against_its_callers_reach() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    let secret = daybook.token_of(Role::Service, None, vec![mine.parse().unwrap()]);
    let principal = daybook.journal.authenticate(&secret).unwrap().unwrap();
    let caller = Caller::new(principal, CorrelationId::derive(&[b"a request"]));
    let read = async |id: &str| {
        access::within(&caller, async { Portfolio::parse_from_parameter(id).map(|read| read.0).ok() }).await
    };
    assert_eq!(read(&mine).await.unwrap(), Some(mine.parse::<PortfolioId>().unwrap()));
    let refused = read(&other).await.unwrap_err();
    // Whatever the route makes of it, the request is answered in the words for what never was.
    let unknown = PortfolioId::from_bytes([9; 16]).to_string();
    let never = read(&unknown).await.unwrap_err();
    assert_eq!(format!("{refused:?}").replace(&other, ""), format!("{never:?}").replace(&unknown, ""));
    // Work without a caller reaches all there is.
    assert!(Portfolio::parse_from_parameter(&other).is_ok());
}

#[tokio::test]
async fn the_journal_writes_to_no_stream_beyond_the_reach_of_whoever_asked() {
    let daybook = Daybook::new();
    let (mine, other) = (daybook.portfolio("Mine").await, daybook.portfolio("Other").await);
    let named = NamedReach { portfolios: [mine.parse().unwrap()].into(), ..NamedReach::default() };
    let reach = Arc::new(Reach::Named(named));
    let write = |portfolio: &str| {
        let new = NewBenchmark { instrument: None, from: None };
        within(Some(Arc::clone(&reach)), || {
            let id = portfolio.parse().unwrap();
            daybook.journal.choose_benchmark(&Author::operator(), id, &new, &Terms::default())
        })
    };
    write(&mine).unwrap();
    let head = daybook.journal.ledger().head();
    assert!(matches!(write(&other), Err(JournalError::NotFound { .. })));
    assert_eq!(daybook.journal.ledger().head(), head, "something was recorded");
}
