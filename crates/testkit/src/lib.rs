//! For tests only: the storage conformance suite, builders, a clock that tests set, ids in sequence.
//!
//! Every promise of a store's ports is a small case of the suite, named after its rule (`docs/protocol.md`). A store
//! implements [`StoreFixture`] and joins with one line, which makes one test of each case:
//!
//! ```text
//! mosaic_testkit::conformance!(MyFixture);
//! ```
//!
//! A new case is an `async fn(&Harness)` in a module of `cases` and one line in the list of [`conformance!`].
#![expect(clippy::unwrap_used, reason = "a test that can't go on has to say so at once")]

pub mod blobs;
pub mod cases;
mod device;
mod edits;
mod fixture;
mod gate;
mod harness;
mod ledger;
mod memory_blobs;
mod model;
#[cfg(feature = "postgres")]
pub mod postgres;
pub mod program;
pub mod proxy;
mod random;
mod run;
pub mod seals;
mod stand_ins;
mod tokens;
pub mod version_3;

pub use device::{Device, as_pulled, pulled};
pub use edits::{
    EditExt, bot, bot_key, bury, by, create, delete, diary, diary_key, every_field, fill, filled, hash, memo,
    memo_id, memo_key, new_content, overwrite, patch, patch_memo, put, resource, resource_id, resource_key,
    resource_of, restore, tagged,
};
pub use fixture::StoreFixture;
pub use gate::{Door, Gate};
pub use harness::{Harness, at};
pub use ledger::Ledger;
pub use memory_blobs::{BlobCall, BlobFailure, MemoryBlobs};
pub use model::Model;
pub use mosaic_ports::Stores;
pub use random::Random;
pub use run::run;
pub use stand_ins::{ManualClock, SequentialIds};

/// A case of the suite, to be run on a thread of its own.
pub type Case = fn();

/// Makes one test of each case of the suite, for one [`StoreFixture`]. `conformance!(list, MyFixture)` is a list of their
/// names and [`Case`]s instead, for a test that looks at what all of them did.
///
/// The crate that calls it needs `tokio` with the features `macros` and `rt-multi-thread`.
#[macro_export]
macro_rules! conformance {
    ($fixture:ty) => {
        $crate::conformance! { tests, $fixture }
    };
    ($as:ident, $fixture:ty) => {
        $crate::conformance! { @$as $fixture:
            stamps {
                s1_stamps_are_unique_and_increasing_across_types
                s1_a_new_account_s_clock_starts_when_it_was_made
                s1_writes_of_one_user_never_interleave
                s1_a_new_user_has_a_clock
                s2_time_is_read_under_the_lock
                s2_a_clock_that_steps_back_moves_stamps_forward
                s3_updates_and_tombstones_of_all_types_share_one_clock
                s4_a_replay_draws_no_stamp_and_writes_nothing
                s5_integers_up_to_2_pow_53_minus_1_survive
            }
            unreadable {
                p8_what_can_not_be_read_stands_in_nobody_s_way
                h1_a_whole_record_takes_the_place_of_what_can_not_be_read
                w7_a_partial_edit_of_what_can_not_be_read_is_refused
                w9_what_can_not_be_read_can_be_deleted_and_purged
                a_dump_has_what_can_not_be_read_as_it_stands
                kept_objects_are_read_whatever_their_names_are
            }
            pull {
                p1_a_page_ends_after_the_limit_and_says_whether_there_is_more
                p1_updates_and_tombstones_come_in_stamp_order
                p1_a_page_ends_after_the_record_that_reaches_the_bytes
                p1_the_protocol_s_pages_have_two_hundred_records
                p2_a_device_at_rest_holds_the_user_s_clock
                p2_a_device_at_rest_is_told_of_the_next_change
                p3_what_changes_between_two_pages_is_delivered_in_its_new_place
                p3_a_thousand_equal_edit_times_and_three_hundred_deletes_while_another_writes
                p3_eight_writers_and_a_puller_end_with_exactly_what_is_stored
                p4_a_snapshot_shows_each_write_whole_or_not_at_all
                p5_a_change_carries_the_stamp_of_its_memo
                p5_parents_come_first_however_the_pages_are_cut
                p6_the_same_cursors_give_the_same_records_again
                p6_two_phones_with_one_client_id_both_converge
                p7_keys_come_back_as_they_were_written
                a_pull_of_some_types_reads_only_those
                r1_a_cursor_ahead_of_the_clock_is_served_from_the_beginning
                r2_another_epoch_resets_all_types
                an_unknown_user_has_no_snapshot
            }
            writes {
                w1_an_edit_without_a_time_applies_over_one_from_the_future
                w2_the_newest_version_is_stored_whatever_the_order
                w3_the_replay_of_an_overwritten_edit_keeps_nothing_new
                w5_a_tombstone_of_an_unknown_record_stops_a_late_create
                w5_a_newer_partial_edit_brings_a_record_back
                a_write_finds_the_records_that_it_names_and_their_memos
                a_write_finds_records_as_they_were_stored
                w9_a_delete_finds_the_live_resources_of_its_memo
                w9_a_write_counts_the_resources_of_the_memos_that_it_gives_to
                w9_a_resource_edited_later_stays_detached
                w9_a_resource_that_is_brought_back_lets_its_deleted_memo_go
                w9_a_memo_takes_the_resources_that_it_names
                a_write_finds_the_last_place_of_each_group
                s1_writes_of_other_users_do_not_wait
                reads_do_not_wait_for_a_write
                many_users_write_at_once
                users_are_isolated
                an_unknown_user_can_not_write
            }
            all_or_nothing {
                w8_a_decision_that_fails_writes_nothing
                w8_a_plan_that_fails_half_way_writes_nothing
                w8_a_write_that_fails_leaves_its_neighbours_alone
                w8_an_acknowledged_write_is_seen_by_every_read_after_it
                w8_a_dropped_write_happens_whole_or_not_at_all
                w8_a_write_dropped_under_the_lock_happens_whole_or_not_at_all
            }
            room {
                w10_what_a_user_stores_is_counted_to_the_byte
                w10_of_writes_that_come_at_once_as_many_are_taken_as_fit
                a4_w10_an_account_may_have_a_quota_of_its_own
            }
            push {
                b1_eight_hundred_edits_in_one_write_do_what_the_rules_say
                b1_a_push_with_edit_times_is_free_the_second_time
                b1_a_push_happens_whole_or_not_at_all
                b1_the_stamps_of_a_push_stand_together_while_others_write
                b1_parents_come_first
                b2_a_refused_edit_changes_nothing_else
                b2_a_push_that_is_refused_whole_writes_nothing
                w5_a_delete_of_a_push_buries_what_is_unknown
            }
            history {
                h1_revisions_are_numbered_and_read_the_latest_first
                h1_a_revision_comes_back_as_it_was_kept
                h1_a_version_is_kept_once
                h1_keeping_a_losing_edit_moves_no_clock
                h1_two_users_keep_the_same_version_each
                h1_revisions_are_paged_by_number
                h1_a_page_of_revisions_ends_with_its_bytes
                h1_a_single_revision_is_read
                h1_superseded_content_of_every_type_is_there
                h1_a_restored_revision_is_a_new_edit
            }
            retention {
                h2_revisions_kept_before_the_moment_go
                h2_the_content_of_what_was_deleted_before_the_moment_is_erased
                h2_the_stamp_of_a_delete_decides_not_the_clock
                h2_live_records_lose_nothing_and_no_stamp_is_drawn
                h2_a_device_that_comes_later_is_still_told_the_deletes
                h2_a_late_create_still_loses_against_an_erased_tombstone
                h2_only_a_whole_record_brings_back_what_is_erased
                h2_what_is_erased_is_not_found
                h2_numbers_go_on_after_a_purge
                h2_numbers_go_on_where_the_latest_was_purged_first
                h2_small_steps_come_to_the_same
                h2_what_is_erased_names_no_content_any_more
                h2_other_users_are_untouched
                h2_a_purge_takes_turns_with_writes
                h2_purging_beside_writes_loses_nothing_newer
            }
            reading {
                lists_show_live_records_newest_first
                lists_are_paged
                lists_filter_by_archive_and_day
                lists_filter_by_creation
                diaries_are_listed_by_date
                siblings_are_listed_by_memo_and_place
                lists_filter_by_tags
                tags_are_counted
                the_largest_memo_comes_back_to_the_byte
                empty_texts_come_back_empty
                kept_objects_come_back_to_the_last_digit
                a_record_is_read_as_it_was_planned
            }
            searching {
                search_finds_parts_of_chinese_and_japanese
                search_knows_no_letter_case_and_no_compatibility_forms
                search_takes_operators_and_quotes_as_text
                search_wants_every_term
                search_follows_every_edit
                search_goes_with_every_other_condition
                as_many_tags_as_there_may_be_are_looked_for
                long_terms_are_found_to_the_last_character
                what_only_looks_like_a_term_is_not_found
                a_search_is_paged
            }
            listing {
                a_list_says_how_long_its_documents_are
                a_page_goes_on_where_an_answer_ended
                records_come_in_the_order_of_their_keys
                sizes_are_those_of_the_documents
                children_come_in_their_order_as_many_as_fit
            }
            digests {
                a_digest_is_that_of_the_live_records
                a_digest_follows_edits_and_deletes
                a_digest_is_that_of_one_user
            }
            devices {
                d1_what_was_served_is_remembered
                d1_the_latest_cursor_wins_not_the_greatest
                d1_devices_of_two_users_are_apart
                d1_an_unknown_user_harms_nobody
                d1_the_longest_name_and_the_greatest_cursor_are_kept
                a_store_that_works_is_healthy
                d1_a_row_says_when_it_was_served
                d1_of_too_many_devices_those_go_that_were_not_seen_for_the_longest_time
                d2_a_device_is_forgotten
                d2_a_forgotten_device_that_goes_on_is_remembered_anew
                d2_logins_are_listed_by_device
                d2_the_logins_of_a_device_end
                d2_a_login_belongs_to_the_device_that_pulls_with_it
                d2_a_renewed_login_is_bound_as_a_whole
                d2_a_login_that_names_a_device_is_not_rebound
            }
            accounts {
                an_account_comes_back_as_it_was_made
                l1_a_login_that_ended_changes_no_account
                an_unknown_account_is_not_found
                a_name_is_taken_whatever_its_letter_case
                only_one_account_is_the_first
                accounts_are_listed_by_name
                a_change_changes_what_it_names
                a_new_name_must_be_free
                the_last_administrator_stays
                two_administrators_can_not_both_step_down
                a_change_proved_by_an_outdated_password_changes_nothing
                of_changes_proved_by_one_password_one_is_made
            }
            logins {
                a_token_is_spent_for_the_next_one
                a_token_may_belong_to_no_device
                l2_a_spent_token_answers_the_same_again_for_a_while
                l2_a_token_that_is_used_again_ends_its_login
                l2_a_token_that_was_spent_long_ago_ends_its_login
                a_token_that_no_login_gave_out_ends_nothing
                l2_two_that_spend_one_token_at_once_get_the_same
                l2_what_is_kept_does_not_grow_with_renewals
                l4_a_user_has_only_so_many_logins
                l2_a_token_of_a_version_before_goes_on
                a_token_expires
                l2_a_token_that_was_spent_and_has_expired_is_refused
                a_closed_account_s_tokens_are_refused
                logging_out_ends_a_family
                a_change_can_end_every_login
                a_token_is_not_issued_for_an_outdated_password
                a_token_is_not_issued_for_a_closed_account
                a_login_does_not_outlive_a_new_password
            }
            ended_logins {
                l1_a_login_that_ended_may_do_nothing
                l3_a_login_whose_password_must_be_changed_waits
                l1_a_login_that_ended_writes_nothing_from_then_on
                l1_whoever_listens_hears_of_ended_logins
            }
            removal {
                an_account_is_removed_in_steps
                an_account_is_removed_whatever_the_limit
                a_removal_touches_nobody_else
                the_last_administrator_is_not_removed
                two_administrators_can_not_both_be_removed
                an_interrupted_removal_goes_on
                two_may_remove_one_account
                a_removal_takes_turns_with_writes
                what_goes_on_during_a_removal_leaves_nothing
                removed_accounts_are_noted_until_they_are_loaded_again
            }
            invites {
                invites_come_back_as_they_were_made
                i1_an_invite_makes_one_account
                i1_of_many_who_use_one_invite_at_once_one_has_an_account
                i1_an_invite_is_used_or_taken_back
                i1_a_use_that_is_dropped_happens_whole_or_not_at_all
                i2_an_invite_ends
                i2_an_invite_of_who_administers_no_more_makes_no_account
                i3_who_invites_has_only_so_many_open_invites
                l1_a_login_that_ended_invites_nobody
                invites_go_with_the_accounts_that_they_name
                expired_invites_are_forgotten
                invites_move_with_everything_else
            }
            activity {
                what_happened_comes_back_as_it_was_kept
                a_trail_is_looked_at_in_parts
                of_each_kind_the_newest_thousand_stay
                old_events_are_forgotten
                only_accounts_and_the_server_have_a_trail
                a_trail_moves_with_its_account
            }
            jobs {
                a_job_that_is_claimed_is_busy_for_others
                a_job_is_held_on_to
                a_job_that_was_done_lately_is_not_done_again
                a_job_that_is_held_is_busy_though_it_was_done_lately
                a_job_that_is_let_go_of_is_free
                a_job_is_not_released_by_a_stranger
                of_ten_that_claim_a_job_at_once_one_gets_it
            }
            nudges {
                n1_every_commit_is_heard_of
                n1_the_latest_clock_stands_for_those_before_it
                n1_a_commit_is_heard_of_when_it_can_be_read
                n1_what_moves_no_clock_is_not_heard_of
                n1_a_write_that_fails_is_not_heard_of
                n1_everybody_hears_of_every_instance
            }
            contents {
                the_same_content_is_held_once
                contents_come_to_the_quota_at_most
                of_contents_that_come_at_once_as_many_are_held_as_fit
                of_many_that_bring_one_content_at_once_one_holds_it
                contents_of_two_users_are_apart
                nobody_holds_anything_without_an_account
                a_blob_is_replaced_by_another_one_once
                what_changes_contents_takes_turns_with_writes
            }
            variants {
                a_content_has_each_variant_once
                a_variant_whose_blob_is_gone_is_forgotten
                of_two_that_make_one_variant_one_is_held
                avatars_are_listed_by_id
            }
            garbage {
                a_content_that_nothing_names_is_dropped_after_a_while
                a_content_stays_while_anything_names_it
                a_content_stays_while_its_avatar_does
                an_avatar_stays_while_the_account_or_a_bot_names_it
                dropping_in_small_steps_comes_to_the_same
                a_content_that_is_named_meanwhile_is_not_dropped
                whoever_holds_a_content_may_name_it_while_others_drop
                a_restored_revision_finds_its_content
                a_blob_that_holds_something_is_known
                records_without_their_content_are_found
            }
            uploads {
                an_upload_comes_back_as_it_began
                an_upload_begins_only_where_it_fits
                a_user_has_only_so_many_uploads
                of_uploads_that_begin_at_once_as_many_begin_as_fit
                a_length_that_is_told_later_is_told_once
                parts_follow_each_other
                of_parts_for_one_place_one_is_taken
                a_direct_upload_takes_no_parts
            }
            upload_ends {
                a_finished_upload_is_still_answered
                an_upload_is_ended_at_any_time
                no_blob_of_a_part_that_comes_too_late_is_forgotten
                expired_uploads_are_dropped
                expired_uploads_are_dropped_in_small_steps
                all_blobs_of_an_upload_are_answered
            }
            transfer {
                a_store_is_read_out_whole
                a_store_is_written_whole
                contents_move_with_what_names_them
                contents_and_avatars_are_replaced
                an_epoch_is_renamed
                a_storage_is_named_once
                h2_what_was_purged_moves_with_its_record
            }
        }
    };
    (@tests $fixture:ty: $($module:ident { $($case:ident)* })*) => {
        $($(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $case() {
                $crate::run::<$fixture>($crate::cases::$module::$case).await;
            }
        )*)*
    };
    (@list $fixture:ty: $($module:ident { $($case:ident)* })*) => {
        vec![$($(
            (stringify!($case), (|| {
                let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
                runtime.unwrap().block_on($crate::run::<$fixture>($crate::cases::$module::$case));
            }) as $crate::Case),
        )*)*]
    };
}
