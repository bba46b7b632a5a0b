//! The one integration test program of logkv; a room a topic.

mod common;
mod store;
