//! A statement's lines as comma-separated values.

use axum::http::header;
use axum::response::{IntoResponse, Response};

use super::StatementPage;
use crate::http::problem::Problem;

/// The lines alone; where the next page starts is told in a header, since CSV has no place for it.
pub(super) fn csv(page: StatementPage) -> Result<Response, Problem> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Problem::internal(&error);
    writer
        .write_record([
            "effective_date",
            "recorded_at",
            "position",
            "entry_id",
            "side",
            "amount",
            "balance",
            "currency",
            "contra",
            "reference",
            "description",
        ])
        .map_err(failed)?;
    for line in page.lines {
        let (date, position) = (line.effective_date.to_string(), line.position.to_string());
        writer
            .write_record([
                &date,
                &line.recorded_at,
                &position,
                line.entry_id.as_deref().unwrap_or_default(),
                line.side,
                &line.amount,
                &line.balance,
                &page.currency,
                line.contra.as_deref().unwrap_or_default(),
                line.reference.as_deref().unwrap_or_default(),
                line.description.as_deref().unwrap_or_default(),
            ])
            .map_err(failed)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| Problem::internal(error.error()))?;
    let mut response = ([(header::CONTENT_TYPE, "text/csv; charset=utf-8")], bytes).into_response();
    let headers = response.headers_mut();
    let shown = [
        ("folio-opening-balance", Some(page.opening_balance)),
        ("folio-closing-balance", Some(page.closing_balance)),
        ("folio-known-at", Some(page.known_at.to_string())),
        ("folio-next-cursor", page.next_cursor),
    ];
    for (name, value) in shown {
        if let Some(value) = value.and_then(|value| value.parse().ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}
