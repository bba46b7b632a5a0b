//! Sequences that stores of this kind have got wrong before, by their number in the list of cases.
//!
//! | case | room | tests |
//! |---|---|---|
//! | 1 | `order` | `case_01_a_delete_that_was_compacted_away_alone_does_not_bring_the_key_back` |
//! | 2 | `order` | `case_02_all_but_the_last_and_then_all_but_the_first_leave_the_live_key_alone` |
//! | 3 | `order` | `case_03_compacting_one_of_two_puts_in_any_order_leaves_the_newer_one` |
//! | 4 | `midway` | `case_04_what_is_written_while_a_compaction_runs_is_there_when_it_is_done` |
//! | 5 | `order` | `case_05_two_compactions_with_writes_between_are_the_map` |
//! | 6 | `steps` | `case_06_a_compaction_that_is_killed_anywhere_has_lost_nothing`, `case_06_a_power_cut_anywhere_in_a_compaction_has_lost_nothing`, `case_06_a_power_cut_in_the_recovery_of_a_killed_compaction_has_lost_nothing`, `case_06_a_power_cut_takes_nothing_for_whose_sake_a_compaction_dropped_an_older_record`, `case_06_a_compaction_whose_calls_fail_says_so_and_loses_nothing` |
//! | 7 | `midway` | `case_07_a_scan_shows_its_moment_although_a_compaction_ends_meanwhile` |
//! | 8 | `crash` | `case_08_whatever_a_crash_leaves_behind_the_last_record_costs_nothing_before_it` |
//! | 9 | `derived` | `case_09_a_hint_that_is_not_as_it_was_written_changes_no_answer`, `case_09_the_hint_of_another_segment_or_store_changes_no_answer`, `case_09_a_keydir_that_is_not_as_it_was_written_changes_no_answer`, `case_09_the_keydir_of_another_store_or_of_another_time_changes_no_answer`, `case_09_a_keydir_of_other_segments_of_the_same_lengths_changes_no_answer` |
//! | 10 | `rot` | `case_10_a_sealed_segment_cut_short_tells_what_is_gone_and_shows_the_rest` |
//! | 11 | `rot` | `case_11_a_flipped_bit_in_a_sealed_record_costs_that_record_alone`, `case_11_a_bit_that_flips_under_an_open_store_is_an_error_of_that_key_wherever_it_is` |
//! | 12 | `directory` | `case_12_a_clock_that_steps_back_does_not_bring_an_old_value_back` |
//! | 13 | `directory` | `case_13_opening_and_closing_without_a_write_changes_no_byte` |
//! | 14 | `directory` | `case_14_leftovers_of_other_processes_do_not_stop_an_open_and_a_living_writer_does` |
//! | 15 | `directory` | `case_15_values_of_every_kind_come_back_exactly_also_through_recovery_and_compaction` |
//! | 16 | `expiry` | `case_16_a_put_without_expiry_after_one_with_is_there_whatever_is_compacted` |
//! | 17 | `expiry` | `case_17_an_expired_put_goes_on_hiding_the_one_before_it_whatever_is_compacted` |
//! | 18 | `crash` | `case_18_a_batch_that_is_cut_anywhere_is_not_there_at_all`, `case_18_a_batch_that_ends_in_deletes_of_missing_keys_is_whole_without_them` |
//! | 19 | `faulty` | `case_19_a_call_that_fails_leaves_the_old_or_the_new_and_a_reopen_agrees` |
//! | 20 | `beside` | `case_20_every_value_was_current_while_segments_are_sealed_and_compacted`, `case_20_a_snapshot_shows_its_moment_beside_a_writer_and_compactions` |
//! | 21 | `directory` | `case_21_lengths_that_cannot_be_are_refused_before_anything_is_written` |
//! | 22 | `rot` | `case_22_a_header_that_claims_4_gib_is_damage_and_nothing_of_that_size_is_allocated` |
//! | 23 | `steps` | `case_23_a_full_disk_stops_a_compaction_and_nothing_else` |
//! | 24 | `directory` | `case_24_what_is_no_store_is_refused_with_a_sentence_and_not_touched`, `case_24_another_users_directory_is_refused_unless_it_is_trusted` |

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

mod beside;
mod clear;
mod crash;
mod derived;
mod directory;
mod expiry;
mod midway;
mod order;
pub(crate) mod recorder;
mod rot;
pub(crate) mod steps;

#[test]
fn every_case_of_the_list_has_the_tests_that_the_table_names() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it");
    let text = |room: &str| {
        let path = tests.join(format!("{}/{room}.rs", if room == "faulty" { "simulated" } else { "cases" }));
        fs::read_to_string(path).expect("a room")
    };
    let mut cases = BTreeSet::new();
    let mut named = BTreeSet::new();
    let table = include_str!("mod.rs");
    for row in table.lines().filter_map(|line| line.strip_prefix("//! | ")).skip(1) {
        let cells: Vec<_> = row.trim_end_matches(" |").split(" | ").collect();
        let (number, room) = (cells[0].parse::<u32>().expect("a number"), cells[1].trim_matches('`'));
        cases.insert(number);
        for test in cells[2].split(", ").map(|test| test.trim_matches('`')) {
            assert!(test.starts_with(&format!("case_{number:02}_")), "{test} in the row of case {number}");
            assert!(text(room).contains(&format!("fn {test}()")), "{test} is not in {room}");
            named.insert(test.to_owned());
        }
    }
    assert_eq!(cases, (1..=24).collect(), "all cases");
    for room in
        ["beside", "crash", "derived", "directory", "expiry", "faulty", "midway", "order", "rot", "steps"]
    {
        for test in text(room).lines().filter_map(|line| line.strip_prefix("fn case_")) {
            let name = format!("case_{}", test.split('(').next().unwrap_or_default());
            assert!(named.contains(&name), "{name} is not in the table");
        }
    }
}
