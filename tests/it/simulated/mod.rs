//! A simulated disk that fails at every call, in every way, and the contents that must survive.
//!
//! [`disk`] has the contents of a disk and their durable part, and [`file_system`] provides it to a
//! store. [`fate`] decides what a power cut leaves, and [`fault`] which call fails. [`plan`] draws
//! the steps of a life. A new operation is added there. [`living`] runs them, [`life`] records what
//! must survive, and [`look`] compares. [`crash`] cuts lives, [`faulty`] makes their calls fail,
//! and [`search`] tries many plans. [`world`] has several directories, for [`repairs`] and
//! [`restores`].
//!
//! One life in eight has background threads, so that the order of calls and the moments of the cuts
//! vary between runs.

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
