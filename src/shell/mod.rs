//! The shell: what the person at the terminal gets, built on the public interface of the library alone.
//!
//! [`words`] splits a line, [`parse`] makes a call of a row of the [`command`] table, and the row's function in
//! [`commands`] runs on the [`session`], whose [`output`] has the form that was asked for. Lines come from the
//! arguments, from a [`script`], or from the [`editor`].

mod args;
mod backup;
mod bar;
mod command;
mod commands;
mod compact;
mod completions;
mod config;
mod editor;
mod failure;
mod folder;
mod foreign;
mod glob;
mod grid;
mod habits;
mod input;
mod interrupt;
mod json;
mod logging;
mod manual;
mod metrics_file;
mod nearest;
mod output;
mod packing;
mod pager;
mod parse;
mod pipeline;
mod process;
mod progress;
mod repair;
mod report;
mod rows;
mod script;
mod segments;
mod session;
mod start;
mod style;
mod table;
mod tally;
mod times;
mod transaction;
mod transfer;
mod units;
mod verify;
mod view;
mod words;
mod xray;

pub use start::main;
