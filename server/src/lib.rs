//! The server part of s7mpa: broker, ingest, what programs push, store, API and who may use it. It needs no privileges.
//!
//! [`run`] puts them together from a [`Config`]; [`Server`] does the same in two steps for callers that want to know
//! where the broker listens or how the ingester is.

pub mod access;
pub mod activity;
pub mod api;
pub mod broker;
mod clock;
pub mod ingest;
pub mod live;
pub mod node;
pub mod push;
pub mod questions;
pub mod remote;
pub mod rules;
mod run;
mod secret;
mod sqlite;
pub mod store;

pub use agent_common::settings::server as config;
pub use config::Config;
pub use run::{Server, ServerError, run};
