//! What every event store promises, as a suite that any store can run.
//!
//! [`event_store_contract!`](crate::event_store_contract) makes one test of each case, so a failure
//! names the promise that was broken. A store with transactions that can be held open runs
//! [`event_store_schedules!`](crate::event_store_schedules) as well: there the order of every step
//! of several writers is written down, and nothing is left to chance or to a pause.
//!
//! Many cases begin with a code. The codes are those of a list of conformance cases that was gathered
//! from the suites of other event stores:
//!
//! | codes | about | where |
//! | --- | --- | --- |
//! | A1 – A7 | appending | here; that no role of a database can change an event is for each store to show |
//! | R1 – R6 | reading | here |
//! | V1 – V6, V8, V9 | expected versions, conditions on streams that are not written | here |
//! | G1 – G5 | readers beside open transactions | [`schedules`] |
//! | G9, G12, G15 | what readers rely on | here |
//! | G13, G14 | checkpoints and consumers of one name | with whatever keeps checkpoints |
//! | G6 – G8, G10, G11, G16 | other databases, prepared transactions, killed sessions, lost wake-ups, restored and replicated servers | with the store on PostgreSQL, which has them |
//! | K1, K2 | categories, groups of consumers | here |
//! | I1 – I5 | repeats | here |
//! | V7, K3, K4, D1 – D7 | closed streams, tags, conditions on tags | out of scope: Folio has no tags, and a stream is closed by its aggregate's own decision |

#![allow(
    missing_docs,
    reason = "each case is named by the sentence that it shows"
)]

mod append;
mod delivery;
mod idempotency;
mod kit;
mod read;
pub mod schedules;
mod versions;

#[doc(no_inline)]
pub use self::{append::*, delivery::*, idempotency::*, read::*, versions::*};

/// Makes a test module of the whole contract.
///
/// The expression is evaluated once for each case and must give a future of a new, empty store
/// that can be cloned (wrap it in an `Arc`). The calling crate needs tokio with `macros` and `rt`.
///
/// ```
/// # fn main() {}
/// mod in_memory {
///     use std::sync::Arc;
///     folio_core::event_store_contract!(async {
///         Arc::new(folio_core::InMemoryStore::default())
///     });
/// }
/// ```
#[macro_export]
macro_rules! event_store_contract {
    ($store:expr) => {
        $crate::event_store_contract!(
            @cases $store;
            a1_versions_and_positions_count_from_one_without_gaps,
            a2_a_command_without_events_is_an_outcome,
            a3_a_failed_append_leaves_nothing,
            a4_bytes_come_back_as_they_were_written,
            a5_recorded_time_never_decreases,
            a6_a_large_append_is_one_unit,
            a7_nothing_that_a_store_offers_changes_an_event,
            r1_an_unknown_stream_is_empty,
            r2_backwards_is_forwards_reversed,
            r3_a_page_tells_how_far_was_looked,
            r4_a_filtered_read_at_the_end_is_empty,
            r5_a_filtered_read_gives_what_is_wanted_and_how_far_it_looked,
            r6_pages_read_beside_appends_have_no_hole_and_no_repeat,
            v1_no_stream_succeeds_once,
            v2_exact_admits_its_version_only,
            v3_stream_exists_needs_a_stream,
            v4_parallel_appends_are_dense_and_lose_nothing,
            v5_of_many_racers_one_wins_and_readers_see_only_the_winner,
            v6_appends_on_the_same_streams_in_any_order_do_not_deadlock,
            v8_an_append_on_several_streams_is_atomic,
            v8_a_stale_stream_among_several_is_named_and_none_is_written,
            v9_a_stream_without_events_is_a_condition,
            g9_from_the_same_checkpoint_the_same_events_come_again,
            g12_a_reader_moves_on_past_what_it_does_not_want,
            g15_a_reader_gets_no_more_than_it_asked_for,
            k1_a_category_is_read_alone_and_in_order,
            k2_members_of_a_group_share_the_streams,
            i1_a_repeated_command_returns_the_first_result,
            i2_a_command_id_cannot_stand_for_two_requests,
            i3_a_command_with_more_or_fewer_events_is_refused,
            i4_a_repeat_is_known_when_its_stream_has_moved_on,
            i5_the_position_of_a_source_moves_once_with_what_came_of_it,
            a_stream_id_is_data,
            metadata_comes_back,
            a_stream_named_twice_is_refused,
            an_event_type_with_nul_is_refused,
            reads_start_after_and_stop_at_the_limit,
            any_admits_everything,
            last_event_admits_that_very_event_only,
            conflicts_are_the_same_at_one_two_and_three_digits,
            two_writers_one_wins,
            appends_wake_readers,
            a_reader_never_meets_a_smaller_position_later,
            fifty_repeats_at_once_have_one_effect,
            a_refusal_is_an_outcome,
            a_refusal_decided_on_old_state_is_a_conflict,
        );
    };
    (@cases $store:expr; $($case:ident,)+) => {
        $(
            #[tokio::test]
            async fn $case() {
                $crate::testing::contract::$case($store.await).await;
            }
        )+
    };
}
