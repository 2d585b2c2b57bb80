//! Which routes there are, and what each takes: the role stands beside the path.
//!
//! An area of the API (Prometheus's, ours, the page) is a function that adds its routes to [`Routes`]. What a route needs is
//! checked before its handler sees the request ([`guard`](super::guard)).

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, on};

use super::guard::{self, Checked, Errors, Guard};
use super::kept::{self, Kept};
use super::metrics::{self, Health};
use super::work::Work;
use super::{packed, page, prometheus, push, v1};
use crate::access::Role;

/// What a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Nothing: what there is to see has no secret in it. What is sent there must be JSON.
    Nothing,
    /// This role, by token or cookie. It changes nothing.
    Read(Role),
    /// This role, by token or cookie. It changes something: JSON, and from a browser with the `Origin` of our own page. It is
    /// in the audit log.
    Change(Role),
    /// A role that may write, by token alone: programs send data there, in any form.
    Write,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Its method.
    pub method: Method,
    /// Its path; `{…}` stands for any text without a slash.
    pub path: &'static str,
    /// What it takes.
    pub need: Need,
}

/// Routes of an area, with what its handlers share.
#[derive(Debug)]
pub(super) struct Routes<S> {
    router: Router<S>,
    list: Vec<Route>,
    guard: Arc<Guard>,
    kept: Arc<Kept>,
    errors: Errors,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    fn new(guard: &Arc<Guard>, kept: &Arc<Kept>, errors: Errors) -> Self {
        let (guard, kept) = (Arc::clone(guard), Arc::clone(kept));
        Self { router: Router::new(), list: Vec::new(), guard, kept, errors }
    }

    /// Adds a route whose answers are the same for all who may read them: made once between two windows.
    pub(super) fn kept<H, T>(self, methods: &[Method], path: &'static str, need: Need, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let kept = Arc::clone(&self.kept);
        self.at(methods, path, need, handler.layer(axum::middleware::from_fn_with_state(kept, kept::answer)))
    }

    /// Adds a route, for all of these methods.
    pub(super) fn at<H, T>(mut self, methods: &[Method], path: &'static str, need: Need, handler: H) -> Self
    where
        H: Handler<T, S>,
        T: 'static,
    {
        let filters = methods.iter().filter_map(|method| MethodFilter::try_from(method.clone()).ok());
        let Some(filter) = filters.reduce(MethodFilter::or) else { return self };
        let check = self.check(need);
        let handler = on(filter, handler);
        self.router =
            self.router.route(path, handler.layer(axum::middleware::from_fn_with_state(check, guard::check)));
        self.list.extend(methods.iter().map(|method| Route { method: method.clone(), path, need }));
        self
    }

    fn check(&self, need: Need) -> Arc<Checked> {
        Arc::new(Checked { guard: Arc::clone(&self.guard), need, errors: self.errors })
    }

    fn with(self, shared: S) -> (Router, Vec<Route>) {
        (self.router.with_state(shared), self.list)
    }
}

/// All routes of all areas, and the list of them.
pub(super) fn all(guard: &Arc<Guard>, work: &Work, health: &Health) -> (Router, Vec<Route>) {
    let kept = Arc::new(Kept::new(health.feed().clone()));
    let pushed = push::Shared::new(health.clone());
    let areas = [
        push::influx1(Routes::new(guard, &kept, Errors::Influx)).with(pushed.clone()),
        push::influx2(Routes::new(guard, &kept, Errors::Influx)).with(pushed.clone()),
        push::prometheus(Routes::new(guard, &kept, Errors::Prometheus)).with(pushed),
        prometheus::routes(Routes::new(guard, &kept, Errors::Prometheus)).with(work.clone()),
        metrics::routes(Routes::new(guard, &kept, Errors::Prometheus))
            .with(metrics::Shared { work: work.clone(), health: health.clone() }),
        v1::routes(Routes::new(guard, &kept, Errors::Problem)).with(v1::Shared::new(
            Arc::clone(guard),
            work.clone(),
            health.clone(),
        )),
        page::routes(Routes::new(guard, &kept, Errors::Problem)).with(()),
    ];
    let mut router = Router::new();
    let mut list = Vec::new();
    for (area, own) in areas {
        router = router.merge(area);
        list.extend(own);
    }
    // Whoever is nobody does not learn which paths there are.
    let check =
        Checked { guard: Arc::clone(guard), need: Need::Read(Role::Viewer), errors: Errors::Prometheus };
    let check = axum::middleware::from_fn_with_state(Arc::new(check), guard::check);
    let router = router.layer(axum::middleware::from_fn(packed::pack));
    (router.fallback(Handler::<_, ()>::layer(prometheus::not_found, check)), list)
}
