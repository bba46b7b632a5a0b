//! Layer 0: deliberate mistakes, one of which a test makes the engine make, to see that the tests see it.
//!
//! Without the feature `planted` nothing of it is left in the program: [`planted`] is `false` when it is compiled. With the
//! feature the environment variable `LOGKV_PLANT` names the mistake; `tests/it/planted.rs` makes them all, one by one.

use std::sync::OnceLock;

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
    /// A batch asks for the time anew for each record.
    BatchTimeMoves,
    /// Whether a segment is full or of age is asked again when nobody waits for a sync any more.
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
    /// A number that the next open does not believe is given out.
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
    /// LOCK alone is locked, and the directory itself is not.
    DirectoryNotLocked,
    /// The directory is changed although its lock was lost.
    LostLockTrusted,
    /// A sync of a file that was removed is believed.
    NamelessSyncBelieved,
    /// What root makes stays root's, and the owner of the directory cannot read it.
    OwnerNotKept,
    /// A new file is its owner's alone, although the directory lets the group in.
    GroupLockedOut,

    /// The owner of a directory is changed by its path, and not by its handle.
    OwnerGivenByPath,
    /// A symbolic link to a directory is followed where a directory is made or opened beside another.
    LinkFollowed,
    /// Whether a name is still that of the open directory is not looked at.
    NameNotCompared,
    /// What has the name of a draft keeps others from being made.
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
    /// Readers get another set of segments for each segment that is opened.
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
    /// KEYDIR is used although it knows of a number that the log does not have.
    KeydirAheadTaken,
    /// The checksum of a part of KEYDIR is not looked at.
    KeydirUnchecked,
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
    /// An expired record goes at once, and not after the time of grace.
    GraceForgotten,
    /// A compaction asks for the time anew for each record.
    CompactionTimeMoves,
    /// A record that was copied takes the place of a newer one that was written meanwhile.
    CopyOverNewer,
    /// A write on its way replaces the old place of a record that was copied meanwhile.
    PendingNotRepointed,
    /// A removed segment's addresses are dealt out again while a reader has them.
    PagesReusedTooEarly,
    /// The file of a segment that a compaction removes is closed although a reader still needs it.
    ClosedFileUnlinked,
    /// A compaction that was called off removes files when the directory has another writer already.
    UndoneAfterClose,

    // Reading.
    /// The index is believed without a look at the key in the record.
    KeyNotCompared,
    /// The checksum of a record is not looked at when it is read.
    ReadUnchecked,
    /// Room is made for as many bytes as a compressed value says that it has.
    RoomForAnyLength,
    /// A value of any size is decompressed, whatever the limit is.
    ReadLimitIgnored,
    /// A value is given out although it has not as many bytes as it says.
    RawLengthBelieved,
    /// The holes of a sparse file are read as if they were on disk.
    HolesRead,
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
    /// A scan asks for the time anew for each key.
    ScanTimeMoves,
    /// A get of many keys asks for the time anew for each.
    GetManyTimeMoves,
    /// The two points of a difference are looked at as of two times.
    DiffTimesDiffer,
    /// A point of the past is found by its time although a clock that was set has left its records in another order.
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
    /// A repair that keeps all says that records were given up.
    GivenUpUnlessLost,
    /// A repair leaves out deletes.
    DeleteNotSalvaged,
    /// A repair does not tell that it keeps a part of a batch.
    SplitBatchNotTold,
    /// A repair gives the records that it salvages numbers of its own.
    SalvagedRenumbered,
    /// A repair keeps a number after which a store can soon write nothing more.
    UncountedNumberKept,
    /// A directory that looks like what a killed repair leaves is removed although nothing marks it.
    StrangerTakenForUnfinished,

    /// A repair, a verification, a backup or a restore that was called off goes on, and is taken for done.
    CancelIgnored,

    // Backup and restore.
    /// MANIFEST of a backup is put in place before the segments are durable.
    BackupNotSynced,
    /// The segment that is written to gets a second name in the backup, where it should be copied.
    ActiveSegmentLinked,
    /// A restore writes all of a backup before it looks at any of it.
    RestoreChecksLast,
    /// A backup is made a store unread.
    RestoreUnverified,

    // The feed of changes.
    /// A feed says nothing of records that were compacted away.
    FeedPassesOverDropped,
    /// A feed gives again what it has given of a segment that was compacted since.
    FeedRepeatsCompacted,
    /// A feed waits in silence at a number that its log has not come to.
    FeedWaitsBeyondEnd,
    /// A feed takes a cursor of any lineage.
    FeedTakesAnyLineage,
    /// A cursor stands inside a batch that was given in part.
    CursorInsideBatch,
    /// A restored store goes on under the lineage of the store that was backed up.
    RestoreKeepsLineage,
    /// A repaired store goes on under the lineage of the damaged one.
    RepairKeepsLineage,
    /// A backup replaces an earlier one of another lineage.
    BackupTakesAnyLineage,
    /// The end of a time to live is counted from the latest time that any clock said.
    EndStampedFromMark,
    /// A feed gives records of a batch that is not there as a whole yet.
    FeedGivesHalfBatches,

    // Options that change between two opens.
    /// A compaction goes by the policy of the first store that this process opened.
    PolicyOfFirstOpen,
    /// Segments are sealed at the size of the first store that this process opened.
    SegmentSizeOfFirstOpen,
    /// Values are limited as in the first store that this process opened.
    ValueLimitOfFirstOpen,
    /// Writes are synced as in the first store that this process opened.
    SyncOfFirstOpen,
    /// The active segment takes pages that another segment has.
    ResumedOverNeighbour,
    /// KEYDIR is used although the active segment has outgrown its pages there.
    CrowdedKeydirTaken,
    /// What was appended to a segment after KEYDIR was written is not replayed.
    CoveredTailSkipped,

    // Derived files that cover a part of the log, or damage.
    /// A shard of KEYDIR that is rebuilt takes in records that KEYDIR does not cover.
    RebuiltPastCover,
    /// KEYDIR is written although it covers damage.
    KeydirCoversDamage,
    /// A hint is made of a damaged segment.
    HintOfDamaged,
    /// A compaction is not told of damage that was found when the store was opened.
    DamagedPlacesForgotten,
    /// Records that KEYDIR covers are not counted where the segment has grown since.
    CoveredRecordsForgotten,

    // Sizes over a threshold.
    /// The newest version of a key is lost where its rows are replayed in two blocks.
    KeySplitBetweenBlocks,
    /// Some shards of the index are left out where several threads replay the log.
    ShardsLeftOut,
    /// A record that is a word longer than what is read at once is cut short.
    RecordOneWordLonger,
    /// A record that ends a word behind the window of a pass is cut short.
    WindowOneWordLonger,
    /// A record is passed over behind a hole of zeros that fills the window.
    ZerosPassedOver,
    /// Only the first thousand records of a compaction are found at their new places.
    OnlyFirstSlotsSwapped,
    /// The end of a long segment is not compared before a backup goes on in it.
    EndNotSampled,
    /// The third chunk of a segment is copied over the second in a backup.
    ThirdChunkMisplaced,
    /// The record after which a compaction writes its buffer is in no hint.
    RowLostAtFlush,
    /// A feed leaves out what follows when it has found a thousand records.
    FeedSkipsOne,
    /// A value that gives more than there was room for at first gets zeros at its end.
    RoomOverrun,
    /// A scan from both ends loses the rows that the other end has looked at.
    OtherEndForgotten,
    /// The last key of a full batch of deletes stays.
    LastOfBatchNotDeleted,
    /// A page of keys that is full is said not to be the last.
    PageEndToldTooSoon,
    /// A line break is missed when a script is read on in the middle of a line.
    SearchedTooFar,

    // Repair without MANIFEST after a compaction.
    /// The newest of the compacted segments is removed first.
    InputsRemovedNewestFirst,
    /// Newer compacted segments are removed although an older one could not be.
    RemovedPastFailure,
    /// The newest of the segments that MANIFEST does not list is removed first.
    OrphansRemovedNewestFirst,
    /// Without MANIFEST the log is in the order of the files' names.
    OrderByName,

    // Calls beside each other.
    /// A get of many keys sees some keys of a batch changed and others not.
    ManySeeHalfBatch,
    /// A failed write is forgotten when another one fails.
    EarlierLossForgotten,
    /// A write is said to be lost that came after the failure.
    LossToldToLater,
    /// A scan in a transaction also shows what the transaction has replaced.
    OverwrittenShownToo,
    /// A scan in a transaction panics where there can be no key between the bounds.
    EmptyBoundsCross,
    /// A scan begins with the key that it excludes.
    ScanStartKept,
    /// A scan of a prefix that ends in 0xff shows keys behind it.
    PrefixEndTooFar,
    /// The versions of a key show a write that is not durable.
    VersionsShowPending,
    /// A feed gives a write that is not durable.
    FeedShowsPending,

    // The shell: lines that go on, and commands that do.
    /// The command that goes on forgets which states were asked for.
    ContinuationForgetsOnly,
    /// The command that goes on has the pattern without quotes.
    ContinuationUnquoted,
    /// The command that goes on has the name of a file without quotes.
    ContinuationNameUnquoted,
    /// The command that goes on passes over a record.
    ContinuationSkipsOne,
    /// Lines inside a quote do not count.
    LineNumberLost,
    /// The last line of a script is not read if it has no line break.
    LastLineLost,
    /// A byte order mark is taken off every line.
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

/// `now`, or with the mistake `plant` what it was the first time.
pub(crate) fn stale<T: Clone>(plant: Plant, first: &OnceLock<T>, now: T) -> T {
    if planted(plant) { first.get_or_init(|| now).clone() } else { now }
}

/// What `act` comes to; with the mistake `plant` it is left out, as if it had gone well.
pub(crate) fn unless<E>(plant: Plant, act: impl FnOnce() -> Result<(), E>) -> Result<(), E> {
    if planted(plant) { Ok(()) } else { act() }
}
