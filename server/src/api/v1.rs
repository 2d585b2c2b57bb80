//! Our own API, `/api/s7mpa/v1/…`.
//!
//! An area (a file here) is a function that adds its routes, each with the role that it takes, and handlers that return
//! [`Answer`](super::problem::Answer). What programs write (line protocol, remote write) are routes with `Need::Write`.

mod audit;
mod body;
mod login;
mod sessions;

use std::sync::Arc;

use super::guard::Guard;
use super::routes::Routes;

/// What the handlers share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    guard: Arc<Guard>,
    login: Arc<login::Door>,
}

impl Shared {
    pub(super) fn new(guard: Arc<Guard>) -> Self {
        Self { guard, login: Arc::default() }
    }
}

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    audit::routes(sessions::routes(login::routes(routes)))
}
