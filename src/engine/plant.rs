//! Deliberate mistakes, one of which a test makes the engine make, to see that the tests see it.
//!
//! Without the feature `planted` nothing of it is left in the program: [`planted`] is `false` when it is compiled. With the
//! feature the environment variable `LOGKV_PLANT` names the mistake; `tests/it/planted.rs` makes them all, one by one.

macro_rules! plants {
    ($($(#[doc = $what:literal])+ $name:ident,)+) => {
        /// A mistake that ordinary use does not show.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Plant {
            $($(#[doc = $what])+ $name,)+
        }

        /// The name of each deliberate mistake, and what it is.
        #[cfg(feature = "planted")]
        pub const PLANTS: &[(&str, &str)] = &[$((stringify!($name), concat!($($what),+).trim_ascii())),+];
    };
}

plants! {
    // What is written, and when it is acknowledged.
    /// A write is acknowledged, as durable, without an fsync of its segment.
    WriteNotSynced,
    /// A sync is taken to cover what was written while it was under way.
    SyncCoversLaterWrites,
    /// Readers see a write before the sync that makes it durable.
    SeenBeforeDurable,
    /// A write is acknowledged while it is in a buffer of the process.
    AcknowledgedBeforeWritten,
    /// After a failed fsync the next one is believed.
    FailedSyncForgiven,
    /// A segment is sealed without an fsync.
    SealNotSynced,
    /// A failed write is not cut off the file.
    FailedWriteNotCut,
    /// Closing leaves the log as a kill would.
    CloseForgotten,
    /// The padding behind the last record is left to the next write.
    TornPadding,
    /// Who waits for a write that did not fit on the disk is not told.
    LossNotTold,
    /// A conditional write looks at what readers see, and not at what is on its way.
    ConditionIgnoresPending,
    /// A sum is made of what readers see, and not of what is on its way.
    ChangeIgnoresPending,
    /// Others write while a transaction is open.
    GateLeftOpen,
    /// A transaction does not wait for what is on its way to be seen.
    TransactionBeforePending,
    /// A sum forgets when its key expires.
    SumOutlivesKey,
    /// A batch reads the clock again for each record.
    BatchTimeMoves,
    /// Whether a segment is due is asked again after the waits.
    DueAskedTwice,
    /// A delete says that it met a key that had expired.
    DeleteMeetsExpired,
    /// A get beside a batch sees some of its keys changed and others not.
    BatchSeenHalf,
    /// A get sees what a batch has put and replaced itself.
    BatchSeenMidway,
    /// The last record of a batch says that the batch goes on, when deletes of missing keys followed it.
    BatchEndForgotten,
    /// What a log was when it was closed is taken for what a crash leaves, if there is more of its file.
    ClosedEndForgotten,
    /// A record claims that all before it had been durable when it was written.
    LagTooSmall,
    /// A writer uses a number that the next open rejects.
    SpentNumbersGivenOut,
    /// A compressed value is stored although it takes more than the value itself.
    KeptThoughLarger,

    // Names and MANIFEST.
    /// The name of a new segment is not durable when MANIFEST lists it.
    NewNameNotSynced,
    /// The new MANIFEST takes the old one's name before its text is durable.
    ManifestNotSynced,
    /// The directory is not synced when MANIFEST was replaced.
    ManifestNameNotSynced,
    /// The checksum of MANIFEST is not looked at.
    ManifestUnchecked,
    /// MANIFEST of a cleared store does not say that what was is not told any more.
    ClearedPastForgotten,
    /// The lock on the directory is not taken.
    LockNotTaken,
    /// Only LOCK is locked, not the directory.
    DirectoryNotLocked,
    /// The directory is changed although its lock was lost.
    LostLockTrusted,
    /// A sync of a removed file succeeds.
    NamelessSyncBelieved,
    /// A file that root makes belongs to root, and the directory's owner cannot read it.
    OwnerNotKept,
    /// A new file gives the directory's group no access.
    GroupLockedOut,

    /// The owner of a directory is changed by path instead of by handle.
    OwnerGivenByPath,
    /// A symbolic link is followed when a directory is created or opened in its parent.
    LinkFollowed,
    /// A directory's name is not compared with the open directory.
    NameNotCompared,
    /// Anything with the name of a draft blocks new drafts.
    PlantedDraftBlocks,

    // Recovery.
    /// What a killed writer wrote is judged before it is durable.
    TailNotSynced,
    /// A batch is taken up to where it was torn.
    BatchFlagIgnored,
    /// Records behind a hole that a crash tore are taken.
    ResyncedBehindHole,
    /// Damage before durable records is cut off with them, as a torn tail is.
    RotCutOff,
    /// Numbers of records that a power cut took are given out again.
    NumbersReused,
    /// Segments that MANIFEST does not list are removed before MANIFEST is durable.
    OrphansRemovedTooEarly,
    /// A read-only open shows a writer's batch half done.
    ReaderTakesAllBytes,
    /// Opening publishes a new segment set for each segment.
    SetCopiedForEachSegment,

    // What is derived.
    /// A hint is used whatever it describes.
    HintTrusted,
    /// A hint's checksum is not looked at.
    HintUnchecked,
    /// A hint's filter misses the smallest key.
    FilterMissesAKey,
    /// KEYDIR is used for a log that it does not describe.
    StaleKeydirTaken,
    /// KEYDIR is used although a power cut took the end of the log that it describes.
    KeydirBeyondLogTaken,
    /// KEYDIR is used although it lists a number beyond the log.
    KeydirAheadTaken,
    /// The checksum of a part of KEYDIR is not looked at.
    KeydirUnchecked,
    /// A slot of KEYDIR that points at no segment is taken for a key that is missing.
    StraySlotsTaken,
    /// KEYDIR is said to cover a record that is in the file and not yet in the index.
    KeydirCoversPending,

    // Compaction.
    /// A new segment is listed in MANIFEST before its records are durable.
    OutputNotSynced,
    /// Old segments are removed before the MANIFEST that does without them.
    InputsRemovedTooEarly,
    /// A record is dropped for the sake of a newer one that is not durable.
    ReplacerNotSynced,
    /// A tombstone is dropped when the nearest older segment does not need it.
    TombstoneDroppedTooEarly,
    /// An expired record is dropped although it hides an older put.
    ExpiredDroppedTooEarly,
    /// A record that is copied loses its expiry.
    ExpiryLostInCopy,
    /// A version that was to be kept for its number is dropped.
    KeptVersionDropped,
    /// A tombstone is dropped although an older version of its key is kept.
    KeptVersionUncovered,
    /// An expired record that is kept for its past is counted as one that can go.
    ExpiredPastNotNeeded,
    /// An expired record goes at once, and not after the time of grace.
    GraceForgotten,
    /// A compaction reads the clock again for each record.
    CompactionTimeMoves,
    /// A record that was copied takes the place of a newer one that was written meanwhile.
    CopyOverNewer,
    /// A write on its way replaces the old place of a record that was copied meanwhile.
    PendingNotRepointed,
    /// A removed segment's addresses are dealt out again while a reader has them.
    PagesReusedTooEarly,
    /// The file of a compacted segment is closed although a reader needs it.
    ClosedFileUnlinked,
    /// A cancelled compaction removes files although the directory has another writer.
    UndoneAfterClose,

    // Reading.
    /// The index is believed without a look at the key in the record.
    KeyNotCompared,
    /// The checksum of a record is not looked at when it is read.
    ReadUnchecked,
    /// Room is made for as many bytes as a compressed value says that it has.
    RoomForAnyLength,
    /// A value is decompressed regardless of the limit.
    ReadLimitIgnored,
    /// A value is given out although it has not as many bytes as it says.
    RawLengthBelieved,
    /// The holes of a sparse file are read like data.
    HolesRead,
    /// A sparse segment is mapped, and its holes are read as zeros.
    SparseMapped,
    /// A pass over a segment checks the headers of records alone.
    BodiesUnchecked,
    /// A snapshot is made in the middle of a batch.
    SnapshotInsideBatch,
    /// A snapshot looks into the index as it is now.
    SnapshotFollowsIndex,
    /// A scan ends before the last key of a range that includes it.
    ScanEndLost,
    /// A scan shows what has expired.
    ScanShowsExpired,
    /// An expired key is back when the clock steps back.
    ClockGoesBack,
    /// A scan reads the clock again for each key.
    ScanTimeMoves,
    /// A get of many keys reads the clock again for each.
    GetManyTimeMoves,
    /// The two points of a diff are judged at different times.
    DiffTimesDiffer,
    /// A point is found by time although a clock change put the records out of order.
    SetClockForgotten,

    // Verifying and repairing.
    /// A hint is not compared with its segment when it is verified.
    HintNotVerified,
    /// The counts in KEYDIR are not compared with the log when it is verified.
    CountsNotVerified,
    /// A repaired store takes the place of the damaged one before its segments are durable.
    RepairedNotSynced,
    /// Which directory has the store's name is not durable when a repair in place is done.
    ExchangeNotSynced,
    /// A repair removes what it has copied from the damaged store, before the new one is a store.
    SourceRemovedTooEarly,
    /// A repair that keeps everything reports records as given up.
    GivenUpUnlessLost,
    /// A repair leaves out deletes.
    DeleteNotSalvaged,
    /// A repair does not tell that it keeps a part of a batch.
    SplitBatchNotTold,
    /// A repair gives the records that it salvages numbers of its own.
    SalvagedRenumbered,
    /// A repair keeps a number that leaves few for later writes.
    UncountedNumberKept,
    /// A directory that looks like what a killed repair leaves is removed although nothing marks it.
    StrangerTakenForUnfinished,

    /// A cancelled repair, verification, backup or restore continues and reports success.
    CancelIgnored,

    // Backup and restore.
    /// MANIFEST of a backup is put in place before the segments are durable.
    BackupNotSynced,
    /// The segment that is written to gets a second name in the backup, where it should be copied.
    ActiveSegmentLinked,
    /// A restore writes the whole backup before it checks any of it.
    RestoreChecksLast,
    /// A backup is made a store unread.
    RestoreUnverified,
    /// A directory that is filled where it is gets no mark before its first file.
    FilledUnmarked,
    /// A restored store gets its MANIFEST before it is verified.
    ManifestBeforeVerify,

    // The feed of changes.
    /// A feed says nothing of records that were compacted away.
    FeedPassesOverDropped,
    /// A feed gives again what it has given of a segment that was compacted since.
    FeedRepeatsCompacted,
    /// A feed waits silently for a number beyond the log's end.
    FeedWaitsBeyondEnd,
    /// A feed accepts a cursor of any lineage.
    FeedTakesAnyLineage,
    /// A cursor points inside a batch that was returned in part.
    CursorInsideBatch,
    /// A restored store keeps the lineage of its backup.
    RestoreKeepsLineage,
    /// A repaired store keeps the lineage of the damaged one.
    RepairKeepsLineage,
    /// A backup replaces an earlier one of another lineage.
    BackupTakesAnyLineage,
    /// A time to live counts from the latest time that the clock ever showed.
    EndStampedFromMark,
    /// A feed gives records of a batch that is not there as a whole yet.
    FeedGivesHalfBatches,

    // Options that change between two opens.
    /// A compaction uses the policy of the first store that this process opened.
    PolicyOfFirstOpen,
    /// Segments are sealed at the size set for the first store that this process opened.
    SegmentSizeOfFirstOpen,
    /// Values have the limit of the first store that this process opened.
    ValueLimitOfFirstOpen,
    /// Writes have the sync mode of the first store that this process opened.
    SyncOfFirstOpen,
    /// The active segment takes the pages of another segment.
    ResumedOverNeighbour,
    /// KEYDIR is used although the active segment has outgrown its pages.
    CrowdedKeydirTaken,
    /// Records appended to a segment after KEYDIR was written are not replayed.
    CoveredTailSkipped,

    // Derived files that cover a part of the log, or damage.
    /// A rebuilt shard of KEYDIR includes records that KEYDIR does not cover.
    RebuiltPastCover,
    /// KEYDIR is written although it covers damage.
    KeydirCoversDamage,
    /// A hint is written for a damaged segment.
    HintOfDamaged,
    /// A compaction ignores damage that was found at open.
    DamagedPlacesForgotten,
    /// Records that KEYDIR covers are not counted if their segment has grown since.
    CoveredRecordsForgotten,

    // Sizes over a threshold.
    /// The newest version of a key is lost if its rows are replayed in two blocks.
    KeySplitBetweenBlocks,
    /// Some shards of the index are skipped if several threads replay the log.
    ShardsLeftOut,
    /// A record one word longer than a single read is truncated.
    RecordOneWordLonger,
    /// A record that ends one word after the window of a pass is truncated.
    WindowOneWordLonger,
    /// A record after a hole of zeros that fills the window is skipped.
    ZerosPassedOver,
    /// Only the first thousand records of a compaction get their new places in the index.
    OnlyFirstSlotsSwapped,
    /// The end of a long segment is not compared before a backup extends it.
    EndNotSampled,
    /// A backup copies the third chunk of a segment over the second.
    ThirdChunkMisplaced,
    /// The last record before a compaction writes its buffer is in no hint.
    RowLostAtFlush,
    /// A feed skips the records after the first thousand that it finds.
    FeedSkipsOne,
    /// A value that decompresses beyond its first buffer ends in zeros.
    RoomOverrun,
    /// A scan from both ends loses the rows that the other end has read.
    OtherEndForgotten,
    /// The last key of a full batch of deletes is not deleted.
    LastOfBatchNotDeleted,
    /// A full page of keys is never reported as the last.
    PageEndToldTooSoon,
    /// A line break is missed when a read continues in the middle of a line.
    SearchedTooFar,

    // Repair without MANIFEST after a compaction.
    /// The newest of the compacted segments is removed first.
    InputsRemovedNewestFirst,
    /// Newer compacted segments are removed although removing an older one failed.
    RemovedPastFailure,
    /// The newest segment that MANIFEST does not list is removed first.
    OrphansRemovedNewestFirst,
    /// Without MANIFEST the log is in the order of the files' names.
    OrderByName,

    // Concurrent calls.
    /// A get of many keys sees half of a batch.
    ManySeeHalfBatch,
    /// A failed write is forgotten when another write fails.
    EarlierLossForgotten,
    /// A write after the failure is reported lost.
    LossToldToLater,
    /// A scan in a transaction also shows replaced values.
    OverwrittenShownToo,
    /// A scan in a transaction panics if its range is empty.
    EmptyBoundsCross,
    /// A scan includes its excluded first key.
    ScanStartKept,
    /// A scan of a prefix that ends in 0xff shows keys after the prefix.
    PrefixEndTooFar,
    /// The versions of a key show a write that is not durable.
    VersionsShowPending,
    /// A feed returns a write that is not durable.
    FeedShowsPending,

    // A reader that follows a writer.
    /// A refresh does not look at MANIFEST, and misses new segments.
    RefreshSeesNoManifest,
    /// A refresh shows the part of a batch that is in the file.
    RefreshTakesAllBytes,
    /// A refresh takes a log that is as long as before for the same one.
    RefreshTrustsLength,

    // The shell: continued lines, and commands for the next page.
    /// The command for the next page omits the selected states.
    ContinuationForgetsOnly,
    /// The command for the next page has the pattern unquoted.
    ContinuationUnquoted,
    /// The command for the next page has the file name unquoted.
    ContinuationNameUnquoted,
    /// The command for the next page skips a record.
    ContinuationSkipsOne,
    /// Lines inside quotes are not counted.
    LineNumberLost,
    /// A last line without a line break is ignored.
    LastLineLost,
    /// A byte order mark is removed from every line.
    MarkInEachLine,
}

/// Whether this is the mistake that is to be made.
#[cfg(not(feature = "planted"))]
pub const fn planted(_plant: Plant) -> bool {
    false
}

/// Whether this is the mistake that is to be made.
#[cfg(feature = "planted")]
pub fn planted(plant: Plant) -> bool {
    use std::sync::LazyLock;

    static CHOSEN: LazyLock<Option<usize>> = LazyLock::new(|| {
        let chosen = std::env::var("LOGKV_PLANT").ok()?;
        let index = PLANTS.iter().position(|(name, _)| *name == chosen);
        Some(index.unwrap_or_else(|| panic!("LOGKV_PLANT is {chosen}, which is none of {PLANTS:?}")))
    });
    *CHOSEN == Some(plant as usize)
}

/// What `act` comes to; with the mistake `plant` it is left out, as if it had gone well.
pub(crate) fn unless<E>(plant: Plant, act: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if planted(plant) { Ok(()) } else { act() }
}
