//! Who may ask: checked for every request, before anything of it is read.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use agent_common::settings::Subnet;
use agent_common::settings::server::Http;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, WWW_AUTHENTICATE};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;

use super::client::{Client, Peer};
use super::identity::{By, Identities, Identity, Shown, shown, token_of_query};
use super::problem::{Problem, respond};
use super::prometheus::refusal;
use super::push::influx_refusal;
use super::routes::Need;
use crate::access::{Access, Entry, Outcome, digest, now};

/// What requests are checked against.
#[derive(Debug)]
pub(super) struct Guard {
    identities: Arc<Identities>,
    /// Lower case.
    hosts: Vec<String>,
    trusted: Vec<Subnet>,
    port: u16,
}

/// What one route's requests are checked against.
#[derive(Debug)]
pub(super) struct Checked {
    pub(super) guard: Arc<Guard>,
    pub(super) need: Need,
    pub(super) errors: Errors,
}

/// How refusals are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Errors {
    /// As Prometheus does.
    Prometheus,
    /// As InfluxDB does.
    Influx,
    /// RFC 9457.
    Problem,
}

/// Where a request comes from, for handlers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sender {
    /// Before the proxies.
    pub(super) address: IpAddr,
    /// Its way is encrypted.
    pub(super) secure: bool,
}

/// Why a request is refused.
struct Refused(StatusCode, &'static str);

const MISDIRECTED: Refused = Refused(
    StatusCode::MISDIRECTED_REQUEST,
    "the request names a host that this server is not: a name that an attacker can point here; add your own names to server.http.hosts",
);
const FOREIGN: Refused = Refused(StatusCode::FORBIDDEN, "the request comes from another site's page");
const NOBODY: Refused = Refused(
    StatusCode::UNAUTHORIZED,
    "the request has no valid token and no session: send `Authorization: Bearer` and a token, or run `agent open`",
);
const TOKEN_ONLY: Refused =
    Refused(StatusCode::UNAUTHORIZED, "programs write here: send `Authorization: Bearer` and a token");
const ROLE: Refused = Refused(StatusCode::FORBIDDEN, "this needs another role than yours");
const NO_ORIGIN: Refused =
    Refused(StatusCode::FORBIDDEN, "a browser's request that changes something needs its `Origin`");
const NOT_JSON: Refused = Refused(
    StatusCode::UNSUPPORTED_MEDIA_TYPE,
    "a request that changes something has `Content-Type: application/json`",
);
const ENCODED: Refused =
    Refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, "a compressed body is not read here; send it as it is");

impl Guard {
    pub(super) fn new(owner: &str, access: Arc<Access>, http: &Http, address: SocketAddr) -> Self {
        Self {
            identities: Arc::new(Identities { owner: digest(owner), access }),
            hosts: http.hosts.iter().map(|host| host.to_ascii_lowercase()).chain(own_name(address)).collect(),
            trusted: http.trusted_proxies.clone(),
            port: address.port(),
        }
    }

    /// Accounts, sessions, tokens.
    pub(super) fn access(&self) -> &Arc<Access> {
        &self.identities.access
    }

    /// The name of the cookie. Browsers send cookies to all ports of a host: with the port in the name two servers do not write
    /// over each other's. `__Host-` has the browser take it only over TLS, and send it to this host alone.
    pub(super) fn cookie(&self, secure: bool) -> String {
        format!("{}s7mpa_{}", if secure { "__Host-" } else { "" }, self.port)
    }

    /// Whether we are the host that a request names. A name could be made to point to our address by whoever owns it (DNS
    /// rebinding): a browser would take our answers to be that site's. An address cannot.
    fn is_ours(&self, host: &str, local: IpAddr) -> bool {
        let name = match host.strip_prefix('[') {
            Some(rest) => match rest.split_once(']') {
                Some((name, _)) => name,
                None => return false,
            },
            None => host.split_once(':').map_or(host, |(name, _)| name),
        };
        let local = local.to_canonical();
        let own = |address: IpAddr| {
            let address = address.to_canonical();
            address == local || (local.is_loopback() && address.is_loopback())
        };
        (name.eq_ignore_ascii_case("localhost") && local.is_loopback())
            || name.parse().is_ok_and(own)
            || self.hosts.iter().any(|ours| ours.eq_ignore_ascii_case(name))
    }
}

/// The host's own name, where other machines can ask.
fn own_name(address: SocketAddr) -> Option<String> {
    let name = (!address.ip().is_loopback()).then(super::tls::host_name).flatten();
    name.map(|name| name.to_ascii_lowercase())
}

impl Checked {
    /// What can be said without knowing who it is.
    fn before(&self, request: &Request, peer: Peer) -> Result<Sender, Refused> {
        let headers = request.headers();
        let client = Client::of(request, peer, &self.guard.trusted);
        let host = client.host.filter(|host| self.guard.is_ours(host, peer.local.ip())).ok_or(MISDIRECTED)?;
        // A link from elsewhere may lead to a page of ours: nothing of it is secret, and what it asks for then comes from
        // itself.
        let is_link = self.need == Need::Nothing
            && request.method() == Method::GET
            && headers.get("sec-fetch-mode").is_some_and(|mode| mode == "navigate");
        if !is_link && !is_from_here(headers, host, client.secure) {
            return Err(FOREIGN);
        }
        if self.need != Need::Write && is_encoded(headers) {
            return Err(ENCODED);
        }
        if self.is_change(request) && !is_json(headers) {
            return Err(NOT_JSON);
        }
        Ok(Sender { address: client.address, secure: client.secure })
    }

    fn is_change(&self, request: &Request) -> bool {
        match self.need {
            Need::Change(_) => true,
            Need::Nothing => request.method() != Method::GET && request.method() != Method::HEAD,
            Need::Read(_) | Need::Write => false,
        }
    }

    /// Whether this one may.
    fn may(&self, identity: Option<&Identity>, headers: &HeaderMap) -> Result<(), Refused> {
        if self.need == Need::Nothing {
            return Ok(());
        }
        let identity = identity.ok_or(NOBODY)?;
        let is_cookie = identity.by.is_cookie();
        let may = match self.need {
            Need::Nothing => true,
            Need::Read(role) | Need::Change(role) => identity.role >= role,
            Need::Write if is_cookie => return Err(TOKEN_ONLY),
            Need::Write => identity.role.may_write(),
        };
        if !may {
            return Err(ROLE);
        }
        if matches!(self.need, Need::Change(_)) && is_cookie && !headers.contains_key(ORIGIN) {
            return Err(NO_ORIGIN);
        }
        Ok(())
    }

    fn refuse(&self, Refused(status, what): Refused) -> Response {
        let mut response = match self.errors {
            Errors::Prometheus => {
                let kind = if status == StatusCode::UNAUTHORIZED { "unauthorized" } else { "forbidden" };
                refusal(status, kind, what)
            }
            Errors::Influx => influx_refusal(status, what),
            Errors::Problem => respond(Err(Problem::new(status, what))),
        };
        if status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn is_encoded(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_ENCODING).iter().any(|encoding| encoding != "identity")
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

/// Whether no page of another site sent it. Programs send neither header; browsers send `Origin` with whatever a page's
/// script asks for, and `Sec-Fetch-Site` with everything.
fn is_from_here(headers: &HeaderMap, host: &str, secure: bool) -> bool {
    let scheme = if secure { "https://" } else { "http://" };
    let ours = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix(scheme));
        origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
    };
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    headers.get_all(ORIGIN).iter().all(ours) && matches!(site, None | Some(b"same-origin" | b"none"))
}

/// Lets a request through, or answers it.
pub(super) async fn check(State(checked): State<Arc<Checked>>, mut request: Request, next: Next) -> Response {
    let Some(peer) = request.extensions().get::<Peer>().copied() else {
        return checked.refuse(MISDIRECTED);
    };
    let from = match checked.before(&request, peer) {
        Ok(from) => from,
        Err(refused) => return checked.refuse(refused),
    };
    let mut shown = shown(request.headers(), &checked.guard.cookie(from.secure));
    if checked.need == Need::Write
        && matches!(shown, Shown::Nothing | Shown::Cookie(_))
        && let Some(token) = token_of_query(request.uri())
    {
        shown = Shown::Token(token);
    }
    let found = match checked.need {
        // Whoever asks; also while the accounts cannot be read.
        Need::Nothing => None,
        _ => match identify(&checked.guard, shown).await {
            Ok(found) => found,
            Err(problem) => return respond(Err(problem)),
        },
    };
    if let Err(refused) = checked.may(found.as_ref(), request.headers()) {
        return checked.refuse(refused);
    }
    let what = format!("{} {}", request.method(), request.uri().path());
    let who = found.as_ref().map(|identity| identity.name.clone()).unwrap_or_default();
    request.extensions_mut().insert(from);
    if let Some(identity) = found {
        request.extensions_mut().insert(identity);
    }
    if !checked.is_change(&request) {
        return next.run(request).await;
    }
    // On a task of its own: a client that hangs up ends neither what it has begun nor its entry in the log.
    let done = tokio::spawn(async move {
        let response = next.run(request).await;
        if matches!(checked.need, Need::Change(_)) {
            let failed = response.status().is_client_error() || response.status().is_server_error();
            let outcome = if failed { Outcome::Failed } else { Outcome::Done };
            let entry = Entry { at: now(), who, what, outcome, address: from.address.to_string() };
            audit(checked.guard.access(), entry).await;
        }
        response
    });
    done.await.unwrap_or_else(|error| respond(Err(Problem::broken(&error))))
}

async fn identify(guard: &Guard, shown: Shown) -> Result<Option<Identity>, Problem> {
    if matches!(shown, Shown::Nothing | Shown::Wrong) {
        return Ok(None);
    }
    let identities = Arc::clone(&guard.identities);
    match tokio::task::spawn_blocking(move || identities.find(&shown)).await {
        Ok(found) => found.map_err(|error| Problem::broken(&error)),
        Err(error) => Err(Problem::broken(&error)),
    }
}

/// Writes an entry into the audit log. That it cannot be written is in the server's log.
pub(super) async fn audit(access: &Arc<Access>, entry: Entry) {
    let access = Arc::clone(access);
    let written = tokio::task::spawn_blocking(move || access.audit(&entry)).await;
    if let Ok(Err(error)) = written {
        tracing::error!("api: audit log: {}", agent_common::text::chain(&error));
    }
}

/// The number of the session that a request is of.
pub(super) const fn session_of(identity: &Identity) -> Option<i64> {
    match &identity.by {
        By::Session(session) => Some(session.id),
        By::Owner | By::Token(_) => None,
    }
}
