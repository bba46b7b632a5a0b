//! The tests see the mistakes that they are there for: each of `src/engine/plant.rs` is made, one at a time, and a test of
//! this very program has to fail because of it.
//!
//! For each mistake this program is run with `LOGKV_PLANT` naming it: first the tests that the table of suspects names, and
//! where they see nothing, all of them. The first that fails ends the run. `cargo test --features planted --test it planted
//! -- --nocapture` prints who saw what.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use logkv::PLANTS;

use crate::common::scratch;

/// How long the tests under suspicion, and all tests, may take: a mistake may let one wait for ever.
const SUSPECTS_MAX: Duration = Duration::from_secs(120);
const ALL_MAX: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// The tests that are run first for a mistake, by parts of their names.
const SUSPECTS: &[(&str, &[&str])] = &[
    ("WriteNotSynced", &["faults::a_failed_fsync"]),
    ("SyncCoversLaterWrites", &["concurrency::writers_that_wait"]),
    ("SeenBeforeDurable", &["concurrency::readers_and_writers"]),
    ("AcknowledgedBeforeWritten", &["recovery::the_newest_records"]),
    ("FailedSyncForgiven", &["faults::a_failed_fsync"]),
    ("SealNotSynced", &["simulated::crash"]),
    ("FailedWriteNotCut", &["faults::a_write_that_is_said"]),
    ("CloseForgotten", &["signals::a_script"]),
    ("TornPadding", &["recovery::an_active_segment_cut"]),
    ("LossNotTold", &["faults::submitted_writes"]),
    ("ConditionIgnoresPending", &["store::a_submitted_write"]),
    ("ChangeIgnoresPending", &["transactions::what_is_submitted"]),
    ("GateLeftOpen", &["transactions::counters"]),
    ("TransactionBeforePending", &["transactions::a_transaction_sees_what_was_submitted"]),
    ("SumOutlivesKey", &["transactions::expiries"]),
    ("BatchTimeMoves", &["moving::keys_of_one_batch"]),
    ("DueAskedTwice", &["moving::a_segment_that_comes_of_age"]),
    ("DeleteMeetsExpired", &["transactions::expiries"]),
    ("BatchSeenHalf", &["concurrency::who_has_seen_the_first_key"]),
    ("BatchSeenMidway", &["concurrency::no_get_sees"]),
    ("BatchEndForgotten", &["crash::case_18"]),
    ("ClosedEndForgotten", &["recovery::what_was_closed"]),
    ("LagTooSmall", &["recovery::a_store_that_was_never_synced"]),
    ("SpentNumbersGivenOut", &["numbers::at_the_last_numbers"]),
    ("KeptThoughLarger", &["compression::a_value_is_compressed_only"]),
    ("NewNameNotSynced", &["simulated::crash"]),
    ("ManifestNotSynced", &["steps::case_06_a_power_cut_anywhere"]),
    ("ManifestNameNotSynced", &["simulated::crash"]),
    ("ManifestUnchecked", &["damage::a_damaged_or_cut_manifest"]),
    ("ClearedPastForgotten", &["history::what_was_cleared"]),
    ("LockNotTaken", &["directory::case_14"]),
    ("DirectoryNotLocked", &["exclusion::a_store_without_its_lock_file"]),
    ("LostLockTrusted", &["exclusion::a_writer_whose_lock"]),
    ("NamelessSyncBelieved", &["removed::a_put_is_not_acknowledged"]),
    ("OwnerNotKept", &["owners::what_root_writes"]),
    ("GroupLockedOut", &["owners::a_group_that"]),
    ("OwnerGivenByPath", &["swapped::a_repair_in_place"]),
    ("LinkFollowed", &["swapped::a_restore"]),
    ("NameNotCompared", &["swapped::a_repair_in_place"]),
    ("PlantedDraftBlocks", &["backup::steps::what_stands"]),
    ("TailNotSynced", &["steps::a_power_cut_in_or_after"]),
    ("BatchFlagIgnored", &["crash::case_18"]),
    ("ResyncedBehindHole", &["recovery::a_store_that_was_never_synced"]),
    ("RotCutOff", &["recovery::rot_before"]),
    ("NumbersReused", &["recovery::numbers_are_never"]),
    ("OrphansRemovedTooEarly", &["steps::case_06_a_power_cut_in_the_recovery"]),
    ("ReaderTakesAllBytes", &["crash::case_18"]),
    ("SetCopiedForEachSegment", &["many_segments::what_opening"]),
    ("HintTrusted", &["derived::case_09_the_hint"]),
    ("HintUnchecked", &["derived::case_09_a_hint"]),
    ("FilterMissesAKey", &["order::case_01"]),
    ("StaleKeydirTaken", &["derived::case_09_a_keydir_of_other", "derived::case_09_the_keydir"]),
    ("KeydirBeyondLogTaken", &["keydir::the_newest_number"]),
    ("KeydirAheadTaken", &["numbers::a_keydir_that_is_ahead"]),
    ("KeydirUnchecked", &["derived::case_09_a_keydir_that_is_not"]),
    ("StraySlotsTaken", &["numbers::a_keydir_that_places"]),
    ("KeydirCoversPending", &["keydir::a_keydir_that_is_written"]),
    ("OutputNotSynced", &["steps::case_06_a_power_cut_anywhere"]),
    ("InputsRemovedTooEarly", &["steps::case_06_a_compaction_that_is_killed"]),
    ("ReplacerNotSynced", &["steps::case_06_a_power_cut_takes_nothing"]),
    ("TombstoneDroppedTooEarly", &["churn::a_tombstone_outlives"]),
    ("ExpiredDroppedTooEarly", &["expiry::case_17"]),
    ("ExpiryLostInCopy", &["expiry::what_is_copied"]),
    ("KeptVersionDropped", &["history::the_versions_that_were_kept"]),
    ("KeptVersionUncovered", &["history::a_delete_stays"]),
    ("ExpiredPastNotNeeded", &["moving::an_expired_record_that_is_kept"]),
    ("GraceForgotten", &["expiry::case_17"]),
    ("CompactionTimeMoves", &["moving::a_deleted_key_stays"]),
    ("CopyOverNewer", &["midway::case_04"]),
    ("PendingNotRepointed", &["midway::case_04"]),
    ("PagesReusedTooEarly", &["churn::values_stay_right", "beside::case_20_every"]),
    ("ClosedFileUnlinked", &["limits::a_store_without_mappings"]),
    ("UndoneAfterClose", &["compaction::a_compaction_whose_observer"]),
    ("KeyNotCompared", &["keydir::two_keys"]),
    ("ReadUnchecked", &["rot::case_11"]),
    ("RoomForAnyLength", &["compression::a_value_that_says_it_is_huge"]),
    ("ReadLimitIgnored", &["claims::a_value_that_claims_more"]),
    ("RawLengthBelieved", &["compression::a_value_that_does_not_decompress"]),
    ("HolesRead", &["claims::the_holes_of_a_sparse_store"]),
    ("SparseMapped", &["claims::a_sparse_segment_is_not_mapped"]),
    ("BodiesUnchecked", &["rot::case_11"]),
    ("SnapshotInsideBatch", &["concurrency::a_scan_beside"]),
    ("SnapshotFollowsIndex", &["midway::case_04"]),
    ("ScanEndLost", &["store::a_range_has"]),
    ("ScanShowsExpired", &["expiry::case_17"]),
    ("ClockGoesBack", &["expiry::a_key_that_was_seen"]),
    ("ScanTimeMoves", &["moving::keys_that_expire"]),
    ("GetManyTimeMoves", &["moving::keys_that_expire"]),
    ("DiffTimesDiffer", &["moving::nothing_is_different"]),
    ("SetClockForgotten", &["moving::a_time_of_which"]),
    ("HintNotVerified", &["verify::a_hint_or_keydir_that_lies"]),
    ("CountsNotVerified", &["verify::a_keydir_that_counts"]),
    ("RepairedNotSynced", &["repairs::a_repair_in_place_that_is_cut"]),
    ("ExchangeNotSynced", &["repairs::a_repair_in_place_that_is_cut"]),
    ("SourceRemovedTooEarly", &["repair::an_intact_store_is_copied"]),
    ("GivenUpUnlessLost", &["history::the_past_of_a_store_whose"]),
    ("DeleteNotSalvaged", &["repair::a_changed_byte_costs"]),
    ("SplitBatchNotTold", &["repair::a_batch_of_which"]),
    ("SalvagedRenumbered", &["repair::records_that_are_salvaged"]),
    ("UncountedNumberKept", &["numbers::a_record_with_a_number"]),
    ("StrangerTakenForUnfinished", &["repair::what_only_looks_like"]),
    ("CancelIgnored", &["cancelled::what_is_called_off"]),
    ("BackupNotSynced", &["backup::steps::a_kill"]),
    ("ActiveSegmentLinked", &["backup::sealed_segments"]),
    ("RestoreChecksLast", &["archive::a_backup_that_is_wrong_at_its_start"]),
    ("RestoreUnverified", &["backup::archive::an_archive_with_a_changed"]),
    ("FilledUnmarked", &["restores::a_directory_that_is_filled"]),
    ("ManifestBeforeVerify", &["backup::inside::manifest_is_written_last"]),
    ("FeedPassesOverDropped", &["changes::what_was_compacted_away"]),
    ("FeedRepeatsCompacted", &["changes::what_was_given_is_not_given_again"]),
    ("FeedWaitsBeyondEnd", &["cursors::a_number_beyond"]),
    ("FeedTakesAnyLineage", &["cursors::a_store_that_was_restored"]),
    ("CursorInsideBatch", &["cursors::a_cursor_never"]),
    ("RestoreKeepsLineage", &["cursors::a_store_that_was_restored"]),
    ("RepairKeepsLineage", &["cursors::a_repaired_store_refuses"]),
    ("BackupTakesAnyLineage", &["cursors::a_backup_of_another_lineage"]),
    ("EndStampedFromMark", &["expiry::a_time_to_live"]),
    ("FeedGivesHalfBatches", &["changes::a_batch_is_given_to_nobody"]),
    ("PolicyOfFirstOpen", &["reopened::each_open_goes_by"]),
    ("SegmentSizeOfFirstOpen", &["reopened::each_open_goes_by"]),
    ("ValueLimitOfFirstOpen", &["reopened::each_open_goes_by"]),
    ("SyncOfFirstOpen", &["reopened::each_open_syncs"]),
    ("ResumedOverNeighbour", &["reopened::an_active_segment_that_may"]),
    ("CrowdedKeydirTaken", &["reopened::a_keydir_whose_pages"]),
    ("CoveredTailSkipped", &["reopened::a_store_that_is_opened_another_way"]),
    ("RebuiltPastCover", &["covered::an_older_keydir"]),
    ("KeydirCoversDamage", &["covered::damage_that_is_known"]),
    ("HintOfDamaged", &["covered::damage_that_is_known"]),
    ("DamagedPlacesForgotten", &["covered::a_delete_stays"]),
    ("CoveredRecordsForgotten", &["covered::an_older_keydir"]),
    ("KeySplitBetweenBlocks", &["sizes::many_records_of_one_key"]),
    ("ShardsLeftOut", &["sizes::many_records_of_one_key"]),
    ("RecordOneWordLonger", &["sizes::records_of_every_length"]),
    ("WindowOneWordLonger", &["sizes::records_of_every_length"]),
    ("ZerosPassedOver", &["sizes::a_hole_of_zeros"]),
    ("OnlyFirstSlotsSwapped", &["sizes::a_compaction_of_more_records"]),
    ("EndNotSampled", &["sizes::a_backup_goes_on"]),
    ("ThirdChunkMisplaced", &["sizes::segments_of_several_chunks"]),
    ("RowLostAtFlush", &["sizes::a_compaction_that_writes"]),
    ("FeedSkipsOne", &["sizes::a_feed_of_more_records"]),
    ("RoomOverrun", &["sizes::values_that_give"]),
    ("OtherEndForgotten", &["sizes::a_scan_from_both_ends"]),
    ("LastOfBatchNotDeleted", &["lines::deletes_by_pattern"]),
    ("PageEndToldTooSoon", &["lines::a_page_of_keys"]),
    ("SearchedTooFar", &["lines::lines_around"]),
    ("InputsRemovedNewestFirst", &["leftovers::whatever_a_killed_compaction"]),
    ("RemovedPastFailure", &["leftovers::a_deleted_key_is_not_back"]),
    ("OrphansRemovedNewestFirst", &["leftovers::whatever_a_killed_recovery"]),
    ("OrderByName", &["leftovers::without_manifest_the_log_ends"]),
    ("ManySeeHalfBatch", &["beside::a_get_of_many_keys"]),
    ("EarlierLossForgotten", &["beside::of_several_losses"]),
    ("LossToldToLater", &["beside::of_several_losses"]),
    ("OverwrittenShownToo", &["beside::every_pair_of_bounds"]),
    ("EmptyBoundsCross", &["beside::every_pair_of_bounds"]),
    ("ScanStartKept", &["beside::every_pair_of_bounds"]),
    ("PrefixEndTooFar", &["beside::every_prefix"]),
    ("VersionsShowPending", &["beside::no_call_tells"]),
    ("FeedShowsPending", &["beside::no_call_tells"]),
    ("RefreshSeesNoManifest", &["refresh::a_refresh_shows"]),
    ("RefreshTakesAllBytes", &["refresh::of_a_write"]),
    ("RefreshTrustsLength", &["refresh::a_write_that_was_cut_off"]),
    ("ContinuationForgetsOnly", &["lines::the_command_that_goes_on_shows"]),
    ("ContinuationUnquoted", &["lines::the_command_that_goes_on_shows"]),
    ("ContinuationNameUnquoted", &["lines::the_command_that_goes_on_in_another"]),
    ("ContinuationSkipsOne", &["lines::the_command_that_goes_on_shows"]),
    ("LineNumberLost", &["lines::quotes_that_go_on"]),
    ("LastLineLost", &["lines::quotes_that_go_on"]),
    ("MarkInEachLine", &["lines::quotes_that_go_on"]),
];

/// What came of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// All tests passed.
    Survived,
    /// This test failed.
    Failed(String),
    /// This test was not done in time.
    Hung(String),
    /// The program died in this test, of that.
    Died(String, String),
}

impl Outcome {
    fn told(&self) -> String {
        match self {
            Self::Survived => "NOBODY".to_owned(),
            Self::Failed(test) => test.clone(),
            Self::Hung(test) => format!("{test} (hangs)"),
            Self::Died(test, cause) => format!("{test} ({cause})"),
        }
    }
}

/// A run of this program, ended when it is dropped.
struct Run(Child);

impl Drop for Run {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Runs the tests that `filters` name, all if there are none, until one fails, with `variables` in the
/// environment.
fn outcome_of(variables: &[(&str, &str)], filters: &[&str], limit: Duration) -> Outcome {
    let dir = scratch();
    let said = dir.path().join("said");
    let output = File::create(&said).expect("a file");
    let mut command = Command::new(std::env::current_exe().expect("this program has a name"));
    command.args(["--skip", "planted::"]).args(filters).env("RUST_TEST_THREADS", "1");
    // What a test that is killed leaves behind goes with the directory.
    command.env("TMPDIR", dir.path()).env_remove("LOGKV_PLANT").envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(output).stderr(Stdio::null());
    let mut run = Run(command.spawn().expect("this program can be run"));
    let started = Instant::now();
    loop {
        let ended = run.0.try_wait().expect("it is ours to wait for");
        let (failed, last) = read(&said);
        match (failed, ended) {
            (Some(test), _) => return Outcome::Failed(test),
            (None, Some(status)) if status.success() => return Outcome::Survived,
            (None, Some(status)) => return Outcome::Died(last, status.to_string()),
            (None, None) if started.elapsed() > limit => return Outcome::Hung(last),
            (None, None) => thread::sleep(LOOK_EVERY),
        }
    }
}

/// The first test that is said to have failed, and the last one that was begun.
fn read(said: &Path) -> (Option<String>, String) {
    let text = String::from_utf8_lossy(&fs::read(said).expect("what was said")).into_owned();
    let mut tests = text.lines().filter_map(|line| line.strip_prefix("test ")?.split_once(" ..."));
    let failed =
        tests.clone().find(|(_, outcome)| outcome.ends_with("FAILED")).map(|(test, _)| test.to_owned());
    (failed, tests.next_back().map_or("no test", |(test, _)| test).to_owned())
}

/// Who sees the mistake `plant`.
fn killer(plant: &str) -> Outcome {
    let (_, suspects) = SUSPECTS.iter().find(|(name, _)| *name == plant).expect("each has its suspects");
    let variables = [("LOGKV_PLANT", plant)];
    match outcome_of(&variables, suspects, SUSPECTS_MAX) {
        Outcome::Survived => match outcome_of(&variables, &[], ALL_MAX) {
            // All of them may take that long where no mistake is made, too: it says nothing.
            Outcome::Hung(_) => Outcome::Survived,
            seen => seen,
        },
        seen => seen,
    }
}

fn core_count() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The outcome for each mistake, and how long it took, in seconds.
fn killers() -> Vec<(Outcome, f64)> {
    let next = AtomicUsize::new(0);
    let found: Vec<_> = PLANTS.iter().map(|_| Mutex::default()).collect();
    thread::scope(|scope| {
        for _ in 0..core_count() {
            scope.spawn(|| {
                while let Some((index, (plant, _))) =
                    PLANTS.iter().enumerate().nth(next.fetch_add(1, Ordering::Relaxed))
                {
                    let started = Instant::now();
                    let outcome = killer(plant);
                    let seconds = started.elapsed().as_secs_f64();
                    *found[index].lock().unwrap_or_else(PoisonError::into_inner) = Some((outcome, seconds));
                }
            });
        }
    });
    let found = found.into_iter().map(|found| found.into_inner().unwrap_or_else(PoisonError::into_inner));
    found.map(|found| found.expect("each was made")).collect()
}

/// A row for each mistake: what it is, how long it took to see it, and who saw it.
fn print_table(found: &[(Outcome, f64)]) {
    let longest = |texts: &mut dyn Iterator<Item = &str>| texts.map(str::len).max().unwrap_or(0);
    let name_len = longest(&mut PLANTS.iter().map(|(name, _)| *name));
    let what_len = longest(&mut PLANTS.iter().map(|(_, what)| *what));
    println!("\n{:<name_len$} | {:<what_len$} | seconds | killed by", "plant", "what it does");
    for ((name, what), (outcome, seconds)) in PLANTS.iter().zip(found) {
        println!("{name:<name_len$} | {what:<what_len$} | {seconds:>7.1} | {}", outcome.told());
    }
}

#[test]
fn every_deliberate_mistake_is_seen_by_a_test() {
    let started = Instant::now();
    let found = killers();
    print_table(&found);
    println!("{} mistakes in {:.0} seconds", PLANTS.len(), started.elapsed().as_secs_f64());
    let survived = |(_, (outcome, _)): &(_, &(Outcome, f64))| *outcome == Outcome::Survived;
    let survivors: Vec<_> = PLANTS.iter().zip(&found).filter(survived).map(|((plant, _), _)| plant).collect();
    assert!(survivors.is_empty(), "no test sees {survivors:?}");
}

#[test]
fn the_tests_that_see_mistakes_pass_where_none_is_made() {
    let suspects: BTreeSet<_> = SUSPECTS.iter().flat_map(|(_, tests)| *tests).copied().collect();
    let suspects: Vec<_> = suspects.into_iter().collect();
    // Enough to see that they can pass: how often they do is for them to find out.
    let threads = core_count().to_string();
    let variables =
        [("LOGKV_CRASH_STATES", "5000"), ("LOGKV_CUTS", "2"), ("RUST_TEST_THREADS", threads.as_str())];
    assert_eq!(outcome_of(&variables, &suspects, ALL_MAX), Outcome::Survived);
}

#[test]
fn each_mistake_has_its_suspects_and_each_suspect_is_a_test() {
    let names: Vec<_> = PLANTS.iter().map(|(name, _)| *name).collect();
    let suspected: Vec<_> = SUSPECTS.iter().map(|(name, _)| *name).collect();
    assert_eq!(suspected, names);
    let listed = Command::new(std::env::current_exe().expect("this program has a name"))
        .args(["--list", "--format", "terse"])
        .output()
        .expect("this program can be run");
    let listed = String::from_utf8(listed.stdout).expect("text");
    for test in SUSPECTS.iter().flat_map(|(_, tests)| *tests) {
        assert!(listed.contains(test), "{test}");
    }
}

#[test]
fn readme_tells_how_many_mistakes_there_are() {
    let readme =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).expect("README.md");
    assert!(readme.contains(&format!("makes {} deliberate mistakes", PLANTS.len())));
}
