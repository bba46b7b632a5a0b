//! The session, its options and open batch, scripts, and files outside the store.

pub mod absence;
pub mod advice;
pub mod compactions;
pub mod config;
pub mod folder;
pub mod logging;
pub mod metrics_file;
pub mod script;
pub mod segments;
pub mod session;
pub mod view;
pub mod write;
