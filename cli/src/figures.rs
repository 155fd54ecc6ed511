//! What a service's `/metrics` answers from.

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// Records this process's figures; none where somebody does already, since they are then not ours.
#[must_use]
pub fn recorded() -> Option<PrometheusHandle> {
    let recorder = PrometheusBuilder::new().build_recorder();
    let figures = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    Some(figures)
}
