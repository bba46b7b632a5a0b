//! A history of calls, and the check that one order of all calls explains it.
//!
//! A history is linearizable (Herlihy and Wing 1990) if each call can be assigned one moment
//! between its invocation and its return so that every answer is correct at that moment. Finding
//! such an order is hard in general. Here the sequence numbers of the writes give the order of all
//! writes. The remaining checks are linear: the numbers agree with time, and each answer fits
//! between two adjacent writes.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The number of keys in a history.
pub(crate) const KEYS: usize = 6;

/// The value of each key. No two writes write the same value.
pub(crate) type Keys = [Option<u64>; KEYS];

/// The new value of one key.
pub(crate) type Change = (usize, Option<u64>);

/// A call with its invocation and return time. The clock never shows the same time twice.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) invoked: u64,
    pub(crate) returned: u64,
    pub(crate) outcome: Outcome,
}

impl Call {
    /// Whether the call changed the store.
    pub(crate) fn has_written(&self) -> bool {
        matches!(self.outcome, Outcome::Wrote(_))
    }
}

/// The effect or the answer of a call.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    Wrote(Write),
    /// A get of one key.
    Read(usize, Option<u64>),
    /// A test for existence of one key.
    Met(usize, bool),
    /// A snapshot of all keys.
    Saw(Keys),
}

/// A successful write.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) changes: Vec<Change>,
    /// The number of its last record, or of the clear.
    pub(crate) last: u64,
    /// The number of deleted keys that existed.
    pub(crate) deleted: usize,
    /// The condition of the write: the key, and whether it existed.
    pub(crate) because: Option<(usize, bool)>,
    /// The values that its transaction read.
    pub(crate) read: Vec<Change>,
}

impl Outcome {
    /// Whether a call without effect can have had this outcome in this state.
    fn fits(&self, keys: &Keys) -> bool {
        match self {
            Self::Wrote(_) => false,
            Self::Read(key, value) => keys[*key] == *value,
            Self::Met(key, is_there) => keys[*key].is_some() == *is_there,
            Self::Saw(seen) => seen == keys,
        }
    }
}

impl Write {
    /// The state after the write.
    fn apply(&self, mut keys: Keys) -> Result<Keys, String> {
        if self.because.is_some_and(|(key, is_there)| keys[key].is_some() != is_there) {
            return Err(format!("the condition was false: {self:?} onto {keys:?}"));
        }
        if let Some(read) = self.read.iter().find(|(key, value)| keys[*key] != *value) {
            return Err(format!("the state differs from {read:?}: {self:?} onto {keys:?}"));
        }
        let mut deleted = 0;
        for &(key, value) in &self.changes {
            deleted += usize::from(value.is_none() && keys[key].is_some());
            keys[key] = value;
        }
        if deleted == self.deleted { Ok(keys) } else { Err(format!("{deleted} deleted keys: {self:?}")) }
    }
}

/// The writes in the order of their numbers.
struct Order {
    /// The states before the first write and after each write. A position is a number of writes.
    states: Vec<Keys>,
    /// The return times of the writes, in order of time, each with the last position reached by
    /// then.
    returned: Vec<(u64, usize)>,
    /// The invocation times of the writes, in order of time, each with the first position started
    /// from then on.
    invoked: Vec<(u64, usize)>,
}

impl Order {
    fn new(calls: &[Call], start: Keys) -> Result<Self, String> {
        let writes = calls.iter().filter_map(|call| match &call.outcome {
            Outcome::Wrote(write) => Some((call, write)),
            _ => None,
        });
        let mut writes: Vec<(&Call, &Write)> = writes.collect();
        writes.sort_by_key(|(_, write)| write.last);
        if let Some(pair) = writes.windows(2).find(|pair| pair[0].1.last == pair[1].1.last) {
            return Err(format!("two writes have the same number: {pair:?}"));
        }
        let mut order = Self { states: vec![start], returned: Vec::new(), invoked: Vec::new() };
        for (call, write) in &writes {
            order.invoked.push((call.invoked, order.last()));
            order.states.push(write.apply(order.states[order.last()])?);
            order.returned.push((call.returned, order.last()));
        }
        let begun = order.invoked.clone();
        order.sort();
        let late = begun.iter().position(|&(invoked, place)| order.earliest(invoked) > place);
        late.map_or(Ok(order), |at| {
            Err(format!("an earlier write has a higher number than {:?}", writes[at].0))
        })
    }

    /// The position after all writes.
    fn last(&self) -> usize {
        self.states.len() - 1
    }

    /// Sorts both lists by time.
    fn sort(&mut self) {
        self.returned.sort_unstable();
        for at in 1..self.returned.len() {
            self.returned[at].1 = self.returned[at].1.max(self.returned[at - 1].1);
        }
        self.invoked.sort_unstable();
        for at in (1..self.invoked.len()).rev() {
            self.invoked[at - 1].1 = self.invoked[at - 1].1.min(self.invoked[at].1);
        }
    }

    /// The first possible position of a call invoked at `time`.
    fn earliest(&self, time: u64) -> usize {
        let count = self.returned.partition_point(|&(returned, _)| returned < time);
        count.checked_sub(1).map_or(0, |last| self.returned[last].1)
    }

    /// The last possible position of a call that returned at `time`.
    fn latest(&self, time: u64) -> usize {
        let at = self.invoked.partition_point(|&(invoked, _)| invoked < time);
        self.invoked.get(at).map_or(self.last(), |&(_, place)| place)
    }
}

/// The state after all calls from `start`, if one order explains them. An error describes the first
/// unexplained call.
pub(crate) fn check(mut calls: Vec<Call>, start: Keys) -> Result<Keys, String> {
    calls.sort_by_key(|call| call.invoked);
    let order = Order::new(&calls, start)?;
    // Each call without effect gets its earliest possible position. Later calls must not come
    // before it, so that this constrains them the least.
    let mut under_way = BinaryHeap::new();
    let mut reached = 0;
    for call in calls.iter().filter(|call| !call.has_written()) {
        while let Some(&Reverse((returned, place))) = under_way.peek()
            && returned < call.invoked
        {
            reached = reached.max(place);
            under_way.pop();
        }
        let places = order.earliest(call.invoked).max(reached)..=order.latest(call.returned);
        let place = places.clone().find(|&place| call.outcome.fits(&order.states[place]));
        let place = place.ok_or_else(|| {
            let states: Vec<_> = places.take(8).map(|place| order.states[place]).collect();
            format!("{call:?} fits none of {states:?}")
        })?;
        under_way.push(Reverse((call.returned, place)));
    }
    Ok(order.states[order.last()])
}

const NONE: Keys = [None; KEYS];

fn call(invoked: u64, returned: u64, outcome: Outcome) -> Call {
    Call { invoked, returned, outcome }
}

fn wrote(changes: &[Change], last: u64) -> Outcome {
    Outcome::Wrote(Write { changes: changes.to_vec(), last, deleted: 0, because: None, read: Vec::new() })
}

fn saw(changes: &[Change]) -> Outcome {
    let mut keys = NONE;
    changes.iter().for_each(|&(key, value)| keys[key] = value);
    Outcome::Saw(keys)
}

#[test]
fn overlapping_calls_are_accepted_in_either_order() {
    for seen in [None, Some(7)] {
        let calls = vec![call(1, 4, wrote(&[(0, Some(7))], 1)), call(2, 3, Outcome::Read(0, seen))];
        assert!(check(calls, NONE).is_ok(), "{seen:?}");
    }
}

#[test]
fn a_read_of_a_value_replaced_before_its_invocation_is_rejected() {
    let calls = vec![
        call(1, 2, wrote(&[(0, Some(7))], 1)),
        call(3, 4, wrote(&[(0, Some(8))], 2)),
        call(5, 6, Outcome::Read(0, Some(7))),
    ];
    assert!(check(calls, NONE).is_err());
}

#[test]
fn a_read_of_a_value_written_after_its_return_is_rejected() {
    let calls = vec![call(1, 2, Outcome::Read(0, Some(7))), call(3, 4, wrote(&[(0, Some(7))], 1))];
    assert!(check(calls, NONE).is_err());
}

#[test]
fn a_read_that_misses_a_write_seen_by_an_earlier_read_is_rejected() {
    let calls = |first, second| {
        vec![
            call(1, 9, wrote(&[(0, Some(7))], 1)),
            call(2, 3, Outcome::Read(0, first)),
            call(4, 5, Outcome::Read(0, second)),
        ]
    };
    assert!(check(calls(None, Some(7)), NONE).is_ok());
    assert!(check(calls(Some(7), None), NONE).is_err());
    assert!(check(calls(Some(7), Some(7)), NONE).is_ok());
}

#[test]
fn half_a_batch_is_rejected_in_a_scan_and_in_two_reads() {
    let batch = || call(1, 6, wrote(&[(0, Some(7)), (1, Some(8))], 2));
    let reads = |first, second| {
        vec![batch(), call(2, 3, Outcome::Read(0, first)), call(4, 5, Outcome::Read(1, second))]
    };
    assert!(check(reads(Some(7), Some(8)), NONE).is_ok());
    assert!(check(reads(None, Some(8)), NONE).is_ok());
    assert!(check(reads(Some(7), None), NONE).is_err());
    assert!(check(vec![batch(), call(2, 3, saw(&[]))], NONE).is_ok());
    assert!(check(vec![batch(), call(2, 3, saw(&[(0, Some(7)), (1, Some(8))]))], NONE).is_ok());
    assert!(check(vec![batch(), call(2, 3, saw(&[(0, Some(7))]))], NONE).is_err());
}

#[test]
fn two_readers_that_see_changes_in_different_orders_are_rejected() {
    let calls = |second: &[Change]| {
        vec![
            call(1, 20, wrote(&[(0, Some(7))], 1)),
            call(2, 21, wrote(&[(1, Some(8))], 2)),
            call(3, 4, saw(&[(0, Some(7))])),
            call(3, 5, saw(second)),
        ]
    };
    assert!(check(calls(&[(0, Some(7)), (1, Some(8))]), NONE).is_ok());
    assert!(check(calls(&[(1, Some(8))]), NONE).is_err());
}

#[test]
fn repeated_numbers_and_numbers_against_time_are_rejected() {
    let calls = |first, second| {
        vec![call(1, 2, wrote(&[(0, Some(7))], first)), call(3, 4, wrote(&[(1, Some(8))], second))]
    };
    assert!(check(calls(1, 2), NONE).is_ok());
    assert!(check(calls(2, 1), NONE).is_err());
    assert!(check(calls(1, 1), NONE).is_err());
}

#[test]
fn a_false_condition_and_a_delete_of_a_missing_key_are_rejected() {
    let mut start = NONE;
    start[0] = Some(1);
    let write = |deleted, because| {
        Outcome::Wrote(Write { changes: vec![(0, None)], last: 1, deleted, because, read: Vec::new() })
    };
    assert!(check(vec![call(1, 2, write(1, Some((0, true))))], start).is_ok());
    assert!(check(vec![call(1, 2, write(0, None))], start).is_err());
    assert!(check(vec![call(1, 2, write(1, Some((0, false))))], start).is_err());
    assert!(check(vec![call(1, 2, Outcome::Met(0, false))], start).is_err());
}

#[test]
fn a_write_between_the_read_and_the_write_of_a_transaction_is_rejected() {
    let raised = |read, last| {
        let changes = vec![(0, Some(last))];
        Outcome::Wrote(Write { changes, last, deleted: 0, because: None, read: vec![(0, read)] })
    };
    let calls = |second| vec![call(1, 5, raised(None, 1)), call(2, 6, raised(second, 2))];
    assert!(check(calls(Some(1)), NONE).is_ok());
    assert!(check(calls(None), NONE).is_err());
}
