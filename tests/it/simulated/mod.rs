//! A disk that is cut off at every call, in every way it may happen, and what must be there afterwards.
//!
//! [`disk`] is what a disk holds and how much of it is durable, [`file_system`] puts it below a store, [`fate`] says what a
//! power cut does to the rest. [`plan`] draws what is done to a store, [`living`] does it, [`life`] keeps book of what
//! has to survive, [`look`] compares, and [`crash`] cuts.

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
