//! Streams end when their reader may not read on, and show what a read would.

use super::orders::client_of;
use super::{Daybook, deposit};
use crate::journal::{Author, Draft, NewToken, Terms, now};
use daybook_schemas::events::{Ownership, PortfolioOwnersSet, Role};
use daybook_schemas::{Day, Fraction, PartyId, PortfolioId, stream};
use poem::Request;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};

/// What comes of a stream, line by line.
struct Heard(Lines<BufReader<Box<dyn AsyncRead + Send + Unpin>>>);

impl Heard {
    /// The next event's name and data; none once the stream has ended.
    async fn next(&mut self) -> Option<(String, Value)> {
        let mut event = String::new();
        loop {
            let line = tokio::time::timeout(Duration::from_secs(30), self.0.next_line()).await;
            let line = line.expect("something comes").unwrap()?;
            if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            }
            if let Some(data) = line.strip_prefix("data: ") {
                return Some((event, serde_json::from_str(data).unwrap()));
            }
        }
    }

    async fn ends_for_access(&mut self) {
        let (event, data) = self.next().await.expect("the stream says why it ends");
        assert_eq!((event.as_str(), &data["reason"]), ("end", &json!("access")));
        assert!(self.next().await.is_none());
    }
}

async fn listen(daybook: &Daybook, token: &str, path: &str) -> Heard {
    let request =
        Request::builder().uri_str(path).header("authorization", format!("Bearer {token}")).body(());
    let response = daybook.answer(request).await;
    assert_eq!(response.status().as_u16(), 200, "{path}");
    assert_eq!(response.content_type(), Some("text/event-stream"));
    let body: Box<dyn AsyncRead + Send + Unpin> = Box::new(Box::pin(response.into_body().into_async_read()));
    Heard(BufReader::new(body).lines())
}

#[tokio::test]
async fn a_client_who_no_longer_owns_a_portfolio_hears_no_more_of_it() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let portfolio: PortfolioId = mine.parse().unwrap();
    let client = client_of(&daybook, portfolio, None, 40);
    let mut figures = listen(&daybook, &client, &format!("/v1/portfolios/{mine}/stream")).await;
    assert_eq!(figures.next().await.unwrap().0, "summary");
    daybook.transact(&mine, deposit("2024-01-02", "5")).await;
    assert_eq!(figures.next().await.unwrap().1["cash"]["USD"], "5");
    let other = Ownership { party: PartyId::from_bytes([41; 16]), share: Fraction::new(1.into()) };
    let sold = PortfolioOwnersSet { owners: vec![other], from: Day::parse("2021-01-02").unwrap() };
    let draft = Draft::new(stream::portfolio(portfolio), now(), sold);
    daybook.journal.record(&Author::operator(), vec![draft], Terms::default()).unwrap();
    daybook.transact(&mine, deposit("2024-01-02", "7")).await;
    figures.ends_for_access().await;
}

#[tokio::test]
async fn a_token_that_has_ended_hears_no_more() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    let new = NewToken {
        role: Role::Auditor,
        subject: None,
        portfolios: Vec::new(),
        expires: Some(now().plus_nanos(1_500_000_000)),
        percentages_only: false,
    };
    let token = daybook.journal.issue_token(&Author::operator(), new, None).unwrap().secret;
    let mut log = listen(&daybook, &token, "/v1/events/stream").await;
    daybook.transact(&mine, deposit("2024-01-02", "5")).await;
    assert_eq!(log.next().await.unwrap().1["type"], "AccountLinked");
    assert_eq!(log.next().await.unwrap().1["type"], "CashTransferred");
    tokio::time::sleep(Duration::from_millis(1_600)).await;
    daybook.transact(&mine, deposit("2024-01-02", "7")).await;
    log.ends_for_access().await;
}

#[tokio::test]
async fn a_page_of_percentages_streams_proportions() {
    let daybook = Daybook::new();
    let mine = daybook.portfolio("Mine").await;
    daybook.transact(&mine, deposit("2024-01-02", "12345.67")).await;
    let new = NewToken {
        role: Role::Display,
        subject: None,
        portfolios: vec![mine.parse().unwrap()],
        expires: None,
        percentages_only: true,
    };
    let token = daybook.journal.issue_token(&Author::operator(), new, None).unwrap().secret;
    let mut figures = listen(&daybook, &token, &format!("/v1/portfolios/{mine}/stream")).await;
    let (event, data) = figures.next().await.unwrap();
    assert_eq!((event.as_str(), &data["cash_weight"], &data["gain"]), ("summary", &json!("1"), &json!("0")));
    assert!(!data.to_string().contains("12345"));
}
