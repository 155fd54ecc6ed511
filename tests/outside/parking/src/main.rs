//! Parking garages on Folio: `garage.rs` is the aggregate, `occupancy.rs` the read model, `http.rs` what the
//! world sees. This file puts them together.

mod garage;
mod http;
mod occupancy;

use std::error::Error;
use std::sync::Arc;

use folio_postgres::migrate::store_migrations;
use folio_postgres::{PostgresStore, Role, migrate, provision};
use folio_projections::{Projection, Settings, StoreSource};
use folio_runtime::Executor;
use tokio::net::TcpListener;
use tokio::sync::watch;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("DATABASE_URL").map_err(|_| "DATABASE_URL names no PostgreSQL")?;
    let server: tokio_postgres::Config = url.parse()?;

    // One database for what happened, one for what is asked. Both are made where they are missing.
    let events = provision(&server, "parking", &[Role::Appender, Role::Reader]).await?;
    let models = provision(&server, "parking_models", &[Role::Projector, Role::Reader]).await?;
    migrate(&events, store_migrations()).await?;
    migrate(&models, folio_projections::migrations()).await?;

    let store = Arc::new(PostgresStore::open(&events, 4).await?);
    let occupancy = Projection::open(
        occupancy::OccupancyProjector,
        StoreSource::new(Arc::clone(&store)),
        &models,
        Settings::default(),
    )
    .await?;
    let reader = occupancy.reader(4)?;
    let (stop, stopped) = watch::channel(false);
    let projection = tokio::spawn(async move { occupancy.run(stopped).await });

    let router = http::router(http::Parking {
        executor: Executor::new(store),
        reader,
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("parking at http://{}", listener.local_addr()?);
    axum::serve(listener, router)
        .with_graceful_shutdown(async {
            let _ = tokio::signal::ctrl_c().await;
        })
        .await?;
    stop.send_replace(true);
    projection.await?;
    Ok(())
}
