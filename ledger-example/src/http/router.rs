//! All routes of each service, what surrounds them, and serving them until told to stop.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn;
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Extension, Json, Router};
use tokio::net::TcpListener;
use tower_http::catch_panic::CatchPanicLayer;
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::Ledger;
use crate::balances::Shelf;
use crate::http::feed::Stopping;
use crate::http::health::Figures;
use crate::http::layer::around;
use crate::http::openapi::with_problems;
use crate::http::problem::Problem;
use crate::http::projections::Detectors;
use crate::http::rails::faulty::faulty;
use crate::http::{
    account_changes, account_entries, accounts, bulk, bulk_entries, entries, events, feed, health,
    holders, holds, in_transit, invariants, outcomes, payments, periods, postings, projections,
    proofs, rails, reads, replays, statement, subjects, transfers, trial_balance,
};
use crate::rails::Rails;
use crate::transfer::service::Transfers;

/// Largest body: a bulk of 1,000 postings with the longest texts.
const BODY_BYTES_MAX: usize = 1024 * 1024;
/// Longest wait for requests that are under way when the service is told to stop.
const DRAIN: Duration = Duration::from_secs(10);

#[derive(OpenApi)]
#[openapi(info(
    title = "Folio ledger: accounts",
    description = "One book, in double entry. Amounts are decimal strings. Every request that \
               writes takes an Idempotency-Key, but to forget a subject, which can be repeated; problems are application/problem+json."
))]
struct AccountsDoc;

#[derive(OpenApi)]
#[openapi(
    components(schemas(statement::StatementFormat)),
    info(
        title = "Folio ledger: balances",
        description = "The balances of all books. Amounts are decimal strings; problems are \
                   application/problem+json. Where several books have what is asked for, name one."
    )
)]
struct BalancesDoc;

#[derive(OpenApi)]
#[openapi(info(
    title = "Folio ledger: rails",
    description = "Stand-ins for the world outside: a fraud screen, an exchange desk and a payment \
               network, with switches by which they fail."
))]
struct RailsDoc;

#[derive(OpenApi)]
#[openapi(info(
    title = "Folio ledger: transfers",
    description = "Transfers between books: all of it or none. Amounts are decimal strings; problems are \
               application/problem+json."
))]
struct TransfersDoc;

/// The routes of the accounts service.
pub fn accounts_router(ledger: Arc<Ledger>) -> Router {
    let detectors = Detectors(ledger.detectors.clone().into());
    let figures = Figures(ledger.metrics.clone());
    assembled(accounts_routes(), ledger)
        .layer(Extension(detectors))
        .layer(Extension(figures))
}

/// The routes of the balances service.
pub fn balances_router(shelf: Arc<Shelf>) -> Router {
    let detectors = shelf.books().iter().map(|book| book.detector.clone());
    let detectors = Detectors(detectors.collect());
    let figures = Figures(shelf.metrics.clone());
    assembled(balances_routes(), shelf)
        .layer(Extension(detectors))
        .layer(Extension(figures))
}

/// The routes of the rails service.
pub fn rails_router(rails: Arc<Rails>) -> Router {
    let figures = Figures(rails.metrics.clone());
    assembled(rails_routes(), Arc::clone(&rails))
        .layer(Extension(figures))
        // Outside of all that is around a request: who fails as these do words no problem.
        .layer(from_fn(faulty))
        .layer(Extension(rails))
}

/// The routes of the transfers service.
pub fn transfers_router(transfers: Arc<Transfers>) -> Router {
    let detectors = Detectors(vec![transfers.detector.clone()].into());
    let figures = Figures(transfers.metrics.clone());
    assembled(transfers_routes(), transfers)
        .layer(Extension(detectors))
        .layer(Extension(figures))
}

/// The OpenAPI document of the transfers service.
#[must_use]
pub fn transfers_openapi() -> utoipa::openapi::OpenApi {
    with_problems(transfers_routes().into_openapi())
}

/// The OpenAPI document of the rails service.
#[must_use]
pub fn rails_openapi() -> utoipa::openapi::OpenApi {
    with_problems(rails_routes().into_openapi())
}

/// The OpenAPI document of the accounts service.
#[must_use]
pub fn accounts_openapi() -> utoipa::openapi::OpenApi {
    with_problems(accounts_routes().into_openapi())
}

/// The OpenAPI document of the balances service.
#[must_use]
pub fn balances_openapi() -> utoipa::openapi::OpenApi {
    with_problems(balances_routes().into_openapi())
}

/// The routes with their document, and with all that surrounds them.
fn assembled<S: Clone + Send + Sync + 'static>(routes: OpenApiRouter<S>, state: S) -> Router {
    let (router, openapi) = routes.split_for_parts();
    let openapi = Arc::new(with_problems(openapi));
    router
        .route(
            "/openapi.json",
            get(move || {
                let openapi = Arc::clone(&openapi);
                async move { Json((*openapi).clone()) }
            }),
        )
        .fallback(|| async {
            Problem::client(
                StatusCode::NOT_FOUND,
                "route_not_found",
                "No such route",
                "see /openapi.json for the routes there are",
            )
        })
        .method_not_allowed_fallback(|| async {
            Problem::client(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "Not with this method",
                "see /openapi.json for the methods of this route",
            )
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        // Inside the layer that words problems, so that a panic is worded as one.
        .layer(CatchPanicLayer::custom(|_| {
            Problem::internal(&Panicked).into_response()
        }))
        .layer(from_fn(around))
        .with_state(state)
}

fn accounts_routes() -> OpenApiRouter<Arc<Ledger>> {
    OpenApiRouter::with_openapi(AccountsDoc::openapi())
        .routes(routes!(accounts::open))
        .routes(routes!(account_changes::limits))
        .routes(routes!(account_changes::freeze))
        .routes(routes!(account_changes::unfreeze))
        .routes(routes!(account_changes::change_metadata))
        .routes(routes!(holders::name, holders::one))
        .routes(routes!(subjects::forget))
        .routes(routes!(account_changes::begin_closing))
        .routes(routes!(account_changes::close))
        .routes(routes!(postings::credit))
        .routes(routes!(postings::debit))
        .routes(routes!(bulk::bulk))
        .routes(routes!(entries::post))
        .routes(routes!(bulk_entries::bulk))
        .routes(routes!(entries::reverse))
        .routes(routes!(holds::place))
        .routes(routes!(holds::capture))
        .routes(routes!(holds::release))
        .routes(routes!(periods::list))
        .routes(routes!(periods::close))
        .routes(routes!(replays::balance))
        .routes(routes!(outcomes::outcomes))
        .routes(routes!(events::events))
        .routes(routes!(proofs::checkpoint))
        .routes(routes!(proofs::growth))
        .routes(routes!(proofs::inclusion))
        .routes(routes!(proofs::account_page))
        .routes(routes!(proofs::account_bundle))
        .routes(routes!(proofs::stream_bundle))
        .routes(routes!(feed::feed))
        .routes(routes!(invariants::found))
        .routes(routes!(projections::list))
        .routes(routes!(health::livez))
        .routes(routes!(health::readyz))
        .routes(routes!(health::metrics))
}

fn balances_routes() -> OpenApiRouter<Arc<Shelf>> {
    OpenApiRouter::with_openapi(BalancesDoc::openapi())
        .routes(routes!(accounts::list))
        .routes(routes!(accounts::one))
        .routes(routes!(account_changes::metadata))
        .routes(routes!(reads::balance))
        .routes(routes!(statement::statement))
        .routes(routes!(account_entries::entries))
        .routes(routes!(holds::of_account))
        .routes(routes!(holds::one))
        .routes(routes!(entries::list))
        .routes(routes!(entries::one))
        .routes(routes!(trial_balance::totals))
        .routes(routes!(trial_balance::accounts))
        .routes(routes!(in_transit::in_transit))
        .routes(routes!(projections::list))
        .routes(routes!(health::livez))
        .routes(routes!(health::balances_readyz))
        .routes(routes!(health::metrics))
}

fn rails_routes() -> OpenApiRouter<Arc<Rails>> {
    OpenApiRouter::with_openapi(RailsDoc::openapi())
        .routes(routes!(rails::screen))
        .routes(routes!(rails::quote))
        .routes(routes!(rails::submit))
        .routes(routes!(rails::payment))
        .routes(routes!(rails::faults))
        .routes(routes!(rails::set_fault, rails::clear_fault))
        .routes(routes!(health::livez))
        .routes(routes!(rails::readyz))
        .routes(routes!(health::metrics))
}

fn transfers_routes() -> OpenApiRouter<Arc<Transfers>> {
    OpenApiRouter::with_openapi(TransfersDoc::openapi())
        .routes(routes!(transfers::order, transfers::list))
        .routes(routes!(transfers::one))
        .routes(routes!(transfers::cancel))
        .routes(routes!(transfers::retry))
        .routes(routes!(transfers::reverse))
        .routes(routes!(payments::pay, payments::list_out))
        .routes(routes!(payments::one_out))
        .routes(routes!(payments::cancel_out))
        .routes(routes!(payments::retry_out))
        .routes(routes!(payments::take_back))
        .routes(routes!(payments::collect, payments::list_in))
        .routes(routes!(payments::one_in))
        .routes(routes!(payments::retry_in))
        .routes(routes!(subjects::forget))
        .routes(routes!(transfers::feed))
        .routes(routes!(projections::list))
        .routes(routes!(health::livez))
        .routes(routes!(transfers::readyz))
        .routes(routes!(health::metrics))
}

/// Serves until `stop` completes, then lets requests under way finish.
///
/// # Errors
///
/// When the listener fails.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    stop: impl Future<Output = ()> + Send + 'static,
) -> std::io::Result<()> {
    let (stopping, mut stopped) = tokio::sync::watch::channel(false);
    let stop = async move {
        stop.await;
        stopping.send_replace(true);
    };
    let router = router.layer(Extension(Stopping(stopped.clone())));
    let serving = axum::serve(listener, router).with_graceful_shutdown(stop);
    tokio::select! {
        result = serving => result,
        // A client that sends half a request and no more would hold the service up for ever.
        () = async {
            let _ = stopped.wait_for(|stopped| *stopped).await;
            tokio::time::sleep(DRAIN).await;
        } => Ok(()),
    }
}

/// A handler that panicked.
#[derive(Debug, thiserror::Error)]
#[error("a handler panicked")]
struct Panicked;
