//! Our own API, `/api/s7mpa/v1/…`.
//!
//! An area (a file here) is a function that adds its routes, each with the role that it takes, and handlers that return
//! [`Answer`](super::problem::Answer). What programs write (line protocol, remote write) are routes with `Need::Write`.

mod alerts;
mod ask;
mod audit;
mod body;
mod hosts;
mod login;
mod openapi;
mod processes;
mod sessions;

use std::sync::Arc;

use super::guard::Guard;
use super::routes::Routes;
use super::work::Work;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    guard: Arc<Guard>,
    work: Work,
    login: Arc<login::Door>,
}

impl Shared {
    pub(super) fn new(guard: Arc<Guard>, work: Work) -> Self {
        Self { guard, work, login: Arc::default() }
    }
}

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    let routes = audit::routes(sessions::routes(login::routes(routes)));
    openapi::routes(alerts::routes(processes::routes(hosts::routes(routes))))
}
