//! A disk that is cut off at every call, in every way it may happen, and what must be there afterwards.
//!
//! [`disk`] is what a disk holds and how much of it is durable, [`file_system`] puts it below a store, [`fate`] says what a
//! power cut does to the rest, [`fault`] which call fails. [`plan`] draws what is done to a store: the one place where an
//! operation is added. [`living`] does it, [`life`] keeps book of what has to survive, [`look`] compares. [`crash`] cuts
//! lives, [`faulty`] makes their calls fail, and [`search`] tries many. [`world`] has several directories, which [`repairs`]
//! and [`restores`] need.
//!
//! One life in eight has the threads of a store that works unasked: which of their calls come before which steps is
//! another matter each time, and so are the moments at which it is cut.

mod crash;
mod disk;
mod fate;
mod fault;
mod faulty;
mod file_system;
mod life;
mod living;
mod look;
mod plan;
mod repairs;
mod restores;
mod search;
mod world;
mod world_system;
