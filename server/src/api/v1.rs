//! Our own API, `/api/s7mpa/v1/…`.
//!
//! An area (a file here) is a function that adds its routes, each with the role that it takes, and handlers that return
//! [`Answer`](super::problem::Answer). What programs write (line protocol, remote write) are routes with `Need::Write`.

mod accounts;
mod alerts;
mod ask;
mod audit;
mod body;
mod ends;
mod flamegraph;
mod hosts;
mod live;
mod login;
mod logs;
mod now;
mod openapi;
mod processes;
mod questions;
mod reports;
mod series;
mod server;
mod sessions;
mod silences;
mod states;
mod waits;

use std::sync::{Arc, Mutex};

use tokio::sync::Semaphore;

use super::guard::Guard;
use super::metrics::Health;
use super::routes::Routes;
use super::work::Work;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    guard: Arc<Guard>,
    work: Work,
    login: Arc<login::Door>,
    /// Held while silences change.
    silencing: Arc<Mutex<()>>,
    /// What the store has, and when it was counted.
    stored: Arc<server::Counted>,
    health: Health,
    gate: Arc<questions::Gate>,
    watchers: Arc<Semaphore>,
}

impl Shared {
    pub(super) fn new(guard: Arc<Guard>, work: Work, health: Health) -> Self {
        let watchers = Arc::new(Semaphore::new(live::MAX_WATCHERS));
        Self {
            guard,
            work,
            login: Arc::default(),
            silencing: Arc::default(),
            stored: Arc::default(),
            health,
            gate: Arc::default(),
            watchers,
        }
    }
}

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    let routes = audit::routes(sessions::routes(login::routes(silences::routes(accounts::routes(routes)))));
    let routes = ends::routes(logs::routes(server::routes(routes)));
    let routes = series::routes(waits::routes(flamegraph::routes(live::routes(routes))));
    let routes = questions::routes(now::routes(states::routes(reports::routes(routes))));
    openapi::routes(alerts::routes(processes::routes(hosts::routes(routes))))
}
