//! The program as its users run it: files in, files, text and exit codes out.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests and their helpers fail by panicking")]

mod animate;
mod bad_input;
mod corpus;
mod data;
mod evaluate;
mod fetch;
mod hub_server;
mod log_mel;
mod others;
mod render;
mod support;
mod train;
