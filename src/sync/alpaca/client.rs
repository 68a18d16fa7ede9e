//! The broker itself: requests through `apca`, and its stream of order updates as a bell.

use super::broker::{Broker, Call, Deaf, Ear, Heard, Method};
use crate::config::AlpacaAccount;
use crate::sync::alpaca_http::{Answer, Http, Unreachable};
use apca::Subscribable;
use apca::api::v2::updates::{OrderStatus, OrderUpdates};
use async_trait::async_trait;
use daybook_schemas::decimal;
use futures_util::StreamExt;
use std::time::Duration;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take until the stream is listened to.
const LISTEN_TIMEOUT: Duration = Duration::from_secs(20);

/// An account at Alpaca, reached over the network.
pub(crate) struct Client {
    http: Http,
}

impl Client {
    /// The client of an account.
    pub(crate) fn new(account: &AlpacaAccount) -> Self {
        Self { http: Http::new(&account.base_url, &account.stream_url, &account.key_id, &account.secret_key) }
    }
}

#[async_trait]
impl Broker for Client {
    async fn call(&self, call: &Call) -> Result<Answer, Unreachable> {
        let method = match call.method {
            Method::Get => http::Method::GET,
            Method::Post => http::Method::POST,
        };
        let query = call.query.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.http.call(&method, &call.path, query, call.body.clone(), TIMEOUT).await
    }

    async fn listen(&self) -> Result<Box<dyn Ear>, Deaf> {
        let connected = tokio::time::timeout(LISTEN_TIMEOUT, OrderUpdates::connect(self.http.info())).await;
        let (stream, subscription) = connected
            .map_err(|_| Deaf("it did not answer in time".to_owned()))?
            .map_err(|error| Deaf(error.to_string()))?;
        Ok(Box::new(Stream { stream, _subscription: subscription }))
    }
}

/// The stream of order updates.
struct Stream {
    stream: <OrderUpdates as Subscribable>::Stream,
    /// The stream ends with its subscription.
    _subscription: <OrderUpdates as Subscribable>::Subscription,
}

#[async_trait]
impl Ear for Stream {
    async fn hear(&mut self) -> Result<Heard, Deaf> {
        match self.stream.next().await {
            None => Err(Deaf("it ended".to_owned())),
            // A pong that was missed comes as an error, after which the stream would go on as if it were alive.
            Some(Err(error)) => Err(Deaf(error.to_string())),
            Some(Ok(Err(_))) => Ok(Heard::Something),
            Some(Ok(Ok(update))) => {
                // More places than any quantity has: without a precision the number would be rounded to eight.
                let filled = decimal::parse(&format!("{:.20}", update.order.filled_quantity));
                Ok(match (update.event, filled) {
                    (OrderStatus::Filled | OrderStatus::PartialFill, Ok(cumulative)) => {
                        let client_order_id = Some(update.order.client_order_id);
                        Heard::Filled { order: update.order.id.to_string(), cumulative, client_order_id }
                    }
                    // What apca has no word for, a bust say, may be about money.
                    (OrderStatus::Filled | OrderStatus::PartialFill | OrderStatus::Unknown, _) => {
                        Heard::Something
                    }
                    _ => Heard::Noted,
                })
            }
        }
    }
}
