//! The one integration test program of logkv; a room a topic.
//!
//! # Classes of mistakes
//! What a suite does not vary, it does not see. Each class of mistakes that has been overlooked has fixed cases, none left to
//! chance, and deliberate mistakes that they see (`tests/mutants`).
//!
//! | class | fixed cases | deliberate mistakes |
//! |---|---|---|
//! | options that change between two opens | `classes::reopened::a_store_that_is_opened_another_way_each_time_holds_what_was_written`, `classes::reopened::each_open_goes_by_its_own_options_and_not_by_those_of_the_one_before`, `classes::reopened::each_open_syncs_as_it_was_told_to_and_not_as_the_one_before`, `classes::reopened::an_active_segment_that_may_become_larger_than_before_takes_no_pages_of_others`, `classes::reopened::a_keydir_whose_pages_the_last_segment_has_outgrown_meanwhile_changes_no_answer` | `policy-of-first-open`, `segment-size-of-first-open`, `value-limit-of-first-open`, `sync-of-first-open`, `resumed-over-neighbour`, `crowded-keydir-taken`, `covered-tail-skipped` |
//! | derived files that cover a part, or damage, while the store grows | `classes::covered::an_older_keydir_changes_no_answer_however_the_store_has_grown_and_grows_on`, `classes::covered::a_shard_that_is_made_anew_after_the_store_has_grown_holds_each_key_once`, `classes::covered::damage_that_is_known_is_told_at_each_open_however_the_store_grows`, `classes::covered::damage_behind_an_older_keydir_is_told_and_not_covered_by_the_next`, `classes::covered::a_delete_stays_while_a_damaged_header_may_hide_the_put_that_it_deletes` | `rebuilt-past-cover`, `keydir-covers-damage`, `hint-of-damaged`, `damaged-places-forgotten`, `covered-records-forgotten` |
//! | sizes over a threshold (listed in `classes::sizes`) | `classes::sizes::records_of_every_length_around_what_is_read_written_and_copied_at_once_come_back`, `classes::sizes::segments_of_several_chunks_are_copied_and_archived_whole`, `classes::sizes::a_backup_goes_on_in_a_segment_of_any_length_only_if_that_is_the_same_to_its_end`, `classes::sizes::a_hole_of_zeros_of_any_length_around_the_window_costs_what_is_in_it_alone`, `classes::sizes::a_compaction_that_writes_its_output_in_several_pieces_loses_no_row`, `classes::sizes::a_compaction_of_more_records_than_are_moved_at_once_moves_them_all`, `classes::sizes::many_records_of_one_key_in_one_segment_are_replayed_to_the_last_one_without_keydir_and_hints`, `classes::sizes::a_feed_of_more_records_than_it_finds_at_a_time_gives_each_once_and_batches_whole`, `classes::sizes::a_scan_from_both_ends_gives_each_key_once_however_many_rows_are_looked_at_together`, `classes::sizes::many_keys_at_once_are_found_around_each_number_that_is_looked_up_together`, `classes::sizes::values_that_give_much_more_than_they_take_come_back_at_their_length`, `classes::lines::deletes_by_pattern_of_more_keys_than_a_batch_has_leave_none`, `classes::lines::a_page_of_keys_says_that_there_are_more_only_where_there_are_and_goes_on_where_it_is_told_to`, `classes::lines::lines_around_what_is_read_at_once_are_read_whole_wherever_a_quote_or_a_line_ends` | `key-split-between-blocks`, `shards-left-out`, `record-one-word-longer`, `window-one-word-longer`, `zeros-passed-over`, `only-first-slots-swapped`, `end-not-sampled`, `third-chunk-misplaced`, `row-lost-at-flush`, `feed-skips-one`, `room-overrun`, `other-end-forgotten`, `last-of-batch-not-deleted`, `page-end-told-too-soon`, `searched-too-far` |
//! | repair without MANIFEST after a compaction, with leftover files | `classes::leftovers::whatever_a_killed_compaction_leaves_is_the_store_without_manifest_too`, `classes::leftovers::whatever_a_killed_recovery_leaves_of_a_killed_compaction_is_the_store_without_manifest_too`, `classes::leftovers::a_deleted_key_is_not_back_when_the_file_of_its_put_could_not_be_removed_and_manifest_is_lost`, `classes::leftovers::without_manifest_the_log_ends_with_its_newest_segment_and_not_with_the_newest_file`, `classes::leftovers::drafts_and_segments_of_others_beside_both_generations_are_no_part_of_the_store` | `inputs-removed-newest-first`, `removed-past-failure`, `orphans-removed-newest-first`, `order-by-name` |
//! | calls beside each other | `classes::beside::no_call_tells_of_a_write_that_waits_for_its_sync_and_each_does_when_it_is_durable`, `classes::beside::a_get_of_many_keys_sees_all_of_a_batch_that_was_written_while_it_looked_them_up_or_nothing`, `classes::beside::of_several_losses_each_is_told_to_who_waits_for_it_and_to_nobody_else_in_whatever_order_they_wait`, `classes::beside::every_pair_of_bounds_gives_the_keys_between_them_in_every_scan_from_both_ends`, `classes::beside::every_prefix_has_the_keys_that_start_with_it_also_where_it_ends_in_the_last_byte`, `classes::beside::what_was_begun_before_writes_and_a_compaction_shows_its_moment_to_the_end` | `many-see-half-batch`, `earlier-loss-forgotten`, `loss-told-to-later`, `overwritten-shown-too`, `empty-bounds-cross`, `scan-start-kept`, `prefix-end-too-far`, `versions-show-pending`, `feed-shows-pending` |
//! | the shell's lines that go on, and its commands that do | `classes::lines::quotes_that_go_on_over_lines_hold_what_is_written_and_errors_name_their_lines_however_a_script_comes`, `classes::lines::lines_around_what_is_read_at_once_are_read_whole_wherever_a_quote_or_a_line_ends`, `classes::lines::a_person_goes_on_in_the_next_line_until_each_quote_is_closed`, `classes::lines::the_command_that_goes_on_shows_the_rest_with_the_same_flags_and_nothing_twice`, `classes::lines::the_command_that_goes_on_in_another_stores_file_names_it_so_that_it_can_be_typed`, `classes::lines::a_page_of_a_terminal_is_followed_by_the_command_that_goes_on_only_where_there_is_more`, `classes::lines::a_tail_goes_on_from_the_number_behind_the_last_one_it_showed` | `continuation-forgets-only`, `continuation-unquoted`, `continuation-name-unquoted`, `continuation-skips-one`, `line-number-lost`, `last-line-lost`, `mark-in-each-line` |

mod allocated;
mod any_bytes;
mod backup;
mod cancelled;
mod cases;
mod changes;
mod churn;
mod claims;
mod classes;
mod common;
mod compaction;
mod compression;
mod concurrency;
mod cursors;
mod cuts;
mod damage;
mod damaged_runs;
mod directory;
mod dozing;
mod every_byte;
mod examples;
mod exclusion;
mod faults;
mod fork;
mod format;
mod history;
mod hooked;
mod imports;
mod injected;
mod inspection;
mod interop;
mod keydir;
mod killed;
mod limits;
mod linear;
mod looks;
mod machine;
mod many_segments;
mod metrics;
mod model;
#[cfg(shuttle)]
mod models;
mod moving;
mod neighbours;
mod numbers;
mod operations;
mod owners;
mod paging;
mod person;
mod readers;
mod readme;
mod recount;
mod recovery;
mod refresh;
mod removed;
mod repair;
mod salvage;
mod scripted;
mod searches;
mod shell;
mod shell_answers;
mod shell_backup;
mod shell_beside;
mod shell_compact;
mod shell_completions;
mod shell_damage;
mod shell_dump;
mod shell_expiry;
mod shell_help;
mod shell_history;
mod shell_import;
mod shell_pipe;
mod shell_refusals;
mod shell_repair;
mod shell_scripts;
mod shell_tail;
mod shell_transfer;
mod shell_transfer_faults;
mod signals;
mod simulated;
mod store;
mod structure;
mod swapped;
mod terminal;
mod transactions;
mod transcript;
mod unreadable;
mod untrusted;
mod verify;
