//! What a service's `/metrics` answers from.

use std::time::Duration;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// How often what was measured is put to the rest.
const PUT_TO_THE_REST: Duration = Duration::from_secs(5);

/// Bounds of the buckets of what is measured in seconds: of a step in memory, of a request, of one that hangs. Those of several instances
/// can be added up, as quantiles can not.
const SECONDS: [f64; 16] = [
    0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    10.0, 30.0,
];

/// Bounds of the buckets of all else, which are numbers of things.
const NUMBERS: [f64; 11] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1_024.0,
];

/// Records this process's figures; none where somebody does already, since they are then not ours.
///
/// It has to be called in a runtime, which a task of it is left in.
#[must_use]
pub fn recorded() -> Option<PrometheusHandle> {
    let recorder = builder().ok()?.build_recorder();
    let figures = recorder.handle();
    metrics::set_global_recorder(recorder).ok()?;
    tokio::spawn(keep_small(figures.clone()));
    Some(figures)
}

fn builder() -> Result<PrometheusBuilder, BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&NUMBERS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
}

/// Counts what was measured into its buckets, again and again: until then each measurement is kept by itself, and where nobody asks for
/// the metrics nothing else does so.
async fn keep_small(figures: PrometheusHandle) {
    let mut turns = tokio::time::interval(PUT_TO_THE_REST);
    loop {
        turns.tick().await;
        figures.run_upkeep();
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ROUNDS: u32 = 40;
    const MEASURED: u32 = 100_000;

    /// Pages that this process has in memory.
    fn resident() -> u64 {
        let pages = fs::read_to_string("/proc/self/statm").unwrap();
        pages.split(' ').nth(1).unwrap().parse().unwrap()
    }

    /// By how many pages it grows while so much is measured, with this after each round.
    async fn grows_by(after_each: impl AsyncFn()) -> u64 {
        let before = resident();
        for _ in 0..ROUNDS {
            for _ in 0..MEASURED {
                metrics::histogram!("folio_tried_seconds").record(0.003);
            }
            after_each().await;
        }
        resident().saturating_sub(before)
    }

    /// Each measurement was kept until somebody asked for the metrics, who may be nobody.
    #[tokio::test(start_paused = true)]
    async fn figures_that_nobody_asks_for_take_no_more_memory() {
        let recorder = builder().unwrap().build_recorder();
        let figures = recorder.handle();
        let _ours = metrics::set_default_local_recorder(&recorder);
        let keeping = tokio::spawn(keep_small(figures.clone()));
        let kept_small = grows_by(async || tokio::time::sleep(2 * PUT_TO_THE_REST).await).await;
        keeping.abort();
        // The control: nobody does it.
        let all_kept = grows_by(async || ()).await;
        assert!(
            4 * kept_small < all_kept,
            "{kept_small} and {all_kept} pages"
        );
        let measured = u64::from(2 * ROUNDS * MEASURED);
        let text = figures.render();
        assert!(text.contains(&format!(
            "folio_tried_seconds_bucket{{le=\"0.005\"}} {measured}\n"
        )));
        assert!(text.contains("folio_tried_seconds_bucket{le=\"0.0025\"} 0\n"));
    }
}
