//! The service's API: one file for each resource, the gate that every request passes, and what errors look like.

mod access;
mod advice;
mod advisors;
mod annotations;
mod answer;
mod attempt;
mod body;
mod changes;
mod checkpoints;
mod classification;
mod clients;
mod cross_origin;
mod document;
mod equity;
mod events;
mod firm;
mod gate;
mod health;
mod histories;
mod holdings;
mod households;
mod imports;
mod instruments;
mod metered;
mod metrics;
mod models;
mod operations;
mod orders;
mod page;
mod parties;
mod plans;
mod portfolios;
mod precondition;
mod prices;
mod problem;
mod profiles;
mod proportions;
mod published;
mod quarantine;
mod rates;
mod recommendations;
mod record;
mod scalar;
mod seen;
mod service;
mod stream;
mod suitability;
mod summaries;
mod sync;
mod tags;
mod teams;
mod terms;
#[cfg(test)]
mod tests;
mod tiles;
mod tokens;
mod trades;
mod transactions;
mod typed;
mod upload;
mod views;
mod views_described;
mod webhooks;

use crate::journal::Journal;
use crate::metrics::{Metrics, Requests};
use crate::serving::Connections;
use crate::sync::daemons::Shared;
use cross_origin::CrossOrigin;
use gate::Gate;
use operations::Operations;
use poem::endpoint::make_sync;
use poem::http::header::CONTENT_SECURITY_POLICY;
use poem::middleware::{CatchPanic, PanicHandler};
use poem::web::Html;
use poem::{Endpoint, EndpointExt, IntoResponse, Response, Route, get};
use poem_openapi::registry::{MetaApi, MetaPath, Registry};
use poem_openapi::{LicenseObject, OpenApi, OpenApiService};
use problem::Problem;
pub(crate) use service::Config;
use service::Service;
use std::any::Any;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

const DESCRIPTION: &str = "\
A daybook is bookkeeping's book of original entry. Everything that happens is appended as an event and never changed; \
portfolios, gains and series are computed from the events, as of any moment (`as_of`: what had occurred by then) and \
any state of knowledge (`known_at` or `at_sequence`: what had been recorded by then).\n\n\
Decimals are strings. A figure that cannot be known is absent, and `missing` says why. Lists come by the page: send \
`next` back as `cursor`; the pages of one list fit together however the ledger grows in between. Reads carry an \
`ETag`: send it back in `If-None-Match`. Writes take an `Idempotency-Key`: the same request under the same key is \
done once. Where a write takes `If-Match`, send the `ETag` of any present read of what is written to: the write is \
refused with 412 if it was written to since, even in the last moment. Every error is `application/problem+json`, and its `type` never changes its meaning.";

/// What happens in portfolios, and what is written of it.
type OfPortfolios = (
    portfolios::Portfolios,
    summaries::Summaries,
    holdings::Holdings,
    transactions::Transactions,
    trades::Trades,
    annotations::Annotations,
    plans::Plans,
    equity::Equity,
    orders::Orders,
    imports::Imports,
    quarantine::Quarantine,
);

/// What is known of markets.
type OfMarkets = (prices::Prices, instruments::Instruments, classification::Classification);

/// What is recommended, by what it is judged, and what each person sees of it.
type OfAdvice =
    (recommendations::Recommendations, recommendations::Steps, suitability::Suitability, views::Views);
/// The firm: who advises, who is advised, and on what terms.
type OfTheFirm = (
    advisors::Advisors,
    teams::Teams,
    parties::Parties,
    clients::Clients,
    profiles::Profiles,
    households::Households,
    histories::Histories,
    models::Models,
    terms::Terms,
);

/// What changes about the firm.
type ChangesOfTheFirm = (
    advisors::Changes,
    teams::Changes,
    parties::Changes,
    clients::Changes,
    profiles::ProfileChanges,
    profiles::ReviewChanges,
    households::Changes,
    models::Changes,
    terms::Changes,
);

/// The log itself, what it is kept current with, who is sent to, and who may do what.
type OfTheLog = (
    events::Events,
    stream::Streams,
    tiles::Tiles,
    checkpoints::Checkpoints,
    sync::Sync,
    tokens::Tokens,
    webhooks::Hooks,
);

/// Every resource, in groups: a tuple of resources has an end.
type Resources = (OfPortfolios, OfMarkets, OfTheFirm, ChangesOfTheFirm, OfAdvice, OfTheLog);

fn resources(service: &Service) -> Resources {
    let of_portfolios = (
        portfolios::Portfolios(service.clone()),
        summaries::Summaries(service.clone()),
        holdings::Holdings(service.clone()),
        transactions::Transactions(service.clone()),
        trades::Trades(service.clone()),
        annotations::Annotations(service.clone()),
        plans::Plans(service.clone()),
        equity::Equity(service.clone()),
        orders::Orders(service.clone()),
        imports::Imports(service.clone()),
        quarantine::Quarantine(service.clone()),
    );
    let of_markets = (
        prices::Prices(service.clone()),
        instruments::Instruments(service.clone()),
        classification::Classification(service.clone()),
    );
    let of_advice = (
        recommendations::Recommendations(service.clone()),
        recommendations::Steps(service.clone()),
        suitability::Suitability(service.clone()),
        views::Views(service.clone()),
    );
    let of_the_firm = (
        advisors::Advisors(service.clone()),
        teams::Teams(service.clone()),
        parties::Parties(service.clone()),
        clients::Clients(service.clone()),
        profiles::Profiles(service.clone()),
        households::Households(service.clone()),
        histories::Histories(service.clone()),
        models::Models(service.clone()),
        terms::Terms(service.clone()),
    );
    let changes_of_the_firm = (
        advisors::Changes(service.clone()),
        teams::Changes(service.clone()),
        parties::Changes(service.clone()),
        clients::Changes(service.clone()),
        profiles::ProfileChanges(service.clone()),
        profiles::ReviewChanges(service.clone()),
        households::Changes(service.clone()),
        models::Changes(service.clone()),
        terms::Changes(service.clone()),
    );
    let of_the_log = (
        events::Events(service.clone()),
        stream::Streams(service.clone()),
        tiles::Tiles(service.clone()),
        checkpoints::Checkpoints(service.clone()),
        sync::Sync(service.clone()),
        tokens::Tokens(service.clone()),
        webhooks::Hooks(service.clone()),
    );
    (of_portfolios, of_markets, of_the_firm, changes_of_the_firm, of_advice, of_the_log)
}

/// The resources as the document describes them; it serves none of them and needs no journal.
struct Described;

impl OpenApi for Described {
    fn meta() -> Vec<MetaApi> {
        // What is read and what is changed under one path are resources of their own, and one path of the document.
        let mut paths: BTreeMap<String, MetaPath> = BTreeMap::new();
        for found in Resources::meta().into_iter().flat_map(|api| api.paths) {
            match paths.entry(found.path.clone()) {
                Entry::Occupied(mut known) => known.get_mut().operations.extend(found.operations),
                Entry::Vacant(place) => drop(place.insert(found)),
            }
        }
        vec![MetaApi { paths: paths.into_values().collect() }]
    }

    fn register(registry: &mut Registry) {
        Resources::register(registry);
    }

    fn add_routes(
        self,
        _routes: &mut HashMap<String, HashMap<poem::http::Method, poem::endpoint::BoxEndpoint<'static>>>,
    ) {
    }
}

fn described() -> OpenApiService<Described, ()> {
    OpenApiService::new(Described, "Daybook", env!("CARGO_PKG_VERSION"))
        .description(DESCRIPTION)
        .license(LicenseObject::new("GPL-3.0-or-later").url("https://www.gnu.org/licenses/gpl-3.0.html"))
        .server("/v1")
}

/// What the page may do: run what stands in it, and ask this service.
const DOCS: &str = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' data:; \
                    font-src data:; connect-src 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The page that shows the OpenAPI document; it needs nothing from elsewhere.
fn documentation(specification: &str) -> String {
    let service = described();
    // What poem writes is put in the form in which it is served and committed.
    service.swagger_ui_html().replace(&service.spec(), specification)
}

/// The OpenAPI document, with its members in a fixed order.
pub(crate) fn specification() -> String {
    document::finished(serde_json::from_str(&described().spec()).unwrap_or_default())
}

/// All routes of the service over a journal and what its daemons share, within the limits given; and the page of metrics
/// alone, which asks for no token.
pub(crate) fn routes(
    journal: Arc<Journal>,
    shared: Arc<Shared>,
    connections: Arc<Connections>,
    config: Config,
) -> (impl Endpoint<Output = Response>, impl Endpoint<Output = Response>) {
    let specification = specification();
    let operations = Arc::new(Operations::of(&serde_json::from_str(&specification).unwrap_or_default()));
    let metrics = Arc::new(Metrics {
        requests: Requests::of(operations.iter().map(|operation| operation.id.clone())),
        connections,
        journal: journal.clone(),
        shared: shared.clone(),
    });
    let page = metrics::Page(metrics.clone());
    let origins = config.origins.clone();
    let service = Service::new(journal, shared, config);
    let api = OpenApiService::new(resources(&service), "Daybook", env!("CARGO_PKG_VERSION"));
    let docs = documentation(&specification);
    let document = make_sync(move |_| {
        Response::builder()
            .content_type("application/json")
            .header("cache-control", "no-cache")
            .body(specification.clone())
    });
    let routes = Route::new()
        .nest("/v1", api)
        .at("/docs", get(make_sync(move |_| Html(docs.clone()).with_header(CONTENT_SECURITY_POLICY, DOCS))))
        .at("/problems/:kind", get(problem::Meanings))
        .at("/openapi.json", get(document))
        .at(metrics::PATH, get(page.clone()))
        .at("/health/live", get(health::Live))
        .at("/health/ready", get(health::Ready(service.clone())))
        .map_to_response()
        .with(catching_panics());
    let gate = Gate::new(routes, service, operations, metrics);
    (CrossOrigin::new(gate, &origins), metrics::Alone(page))
}

/// Makes a problem of a fault of this program, so that one request's fault is no other's.
fn catching_panics() -> CatchPanic<impl PanicHandler<Response = Response>> {
    CatchPanic::new().with_handler(|panic: Box<dyn Any + Send>| {
        let what = panic
            .downcast_ref::<&str>()
            .map(|text| (*text).to_owned())
            .or_else(|| panic.downcast_ref::<String>().cloned());
        Problem::internal(what.unwrap_or_else(|| "a panic".to_owned())).into_response()
    })
}
