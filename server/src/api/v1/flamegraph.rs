//! `GET flamegraph`: any interval of any hosts and processes as a flame graph, or what changed since another one.
//! `GET flamegraph/columns`: how much there is in each part of an interval, to choose one from.

mod about;
mod columns;
mod question;
mod write;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{Method, Response, StatusCode};
use profile::block::Block;

pub(super) use self::about::About;
use self::question::{Of, Question};
pub(super) use self::question::{Shape, selection};
pub(super) use self::write::{answer, made};
use super::Shared;
use super::ask::{Ask, utc};
use crate::access::Role;
use crate::api::problem::{Answer, Problem, respond};
use crate::api::routes::{Need, Routes};
use crate::api::work::End;
use crate::store::StoreError;
use crate::store::profiles::Reader;

pub(super) fn routes(routes: Routes<Shared>) -> Routes<Shared> {
    const READ: Need = Need::Read(Role::Viewer);
    routes.at(&[Method::GET], "/api/s7mpa/v1/flamegraph", READ, graph).at(
        &[Method::GET],
        "/api/s7mpa/v1/flamegraph/columns",
        READ,
        columns::columns,
    )
}

async fn graph(State(shared): State<Shared>, request: Request) -> Response<Body> {
    respond(try_graph(&shared, &Ask::of(&request)).await)
}

async fn try_graph(shared: &Shared, ask: &Ask) -> Answer {
    let question = Question::of(ask)?;
    let format = question.shape.format;
    let found = shared.work.profiles(move |reader, end| question.answer(reader, end)).await?;
    let bytes = found.ok_or_else(none_kept)??;
    Ok(answer(format, bytes))
}

/// What is said where there is no store of profiles.
pub(super) fn none_kept() -> Problem {
    let detail = "no profiles are kept here yet: the first comes a minute after the daemon has started";
    Problem::new(StatusCode::NOT_FOUND, detail)
}

/// What there is, for who has asked for what there is not.
pub(super) fn none_of_that_time(reader: &Reader) -> Result<Problem, StoreError> {
    let reach = match reader.reach()? {
        None => "there are none yet; the first comes a minute after the daemon has started".to_owned(),
        Some((from, to)) => format!("there are some from {} to {}", utc(from), utc(to)),
    };
    Ok(Problem::new(StatusCode::NOT_FOUND, format!("no profile is kept of that time: {reach}")))
}

impl Question {
    fn answer(self, reader: &Reader, end: &End) -> Result<Result<Vec<u8>, Problem>, StoreError> {
        let over = || end.is_over();
        let (block, about, base) = match &self.of {
            Of::Alert(alert) => {
                let Some(found) = reader.evidence(alert)? else {
                    let detail = "no evidence of such an alert is kept";
                    return Ok(Err(Problem::new(StatusCode::NOT_FOUND, detail)));
                };
                let block = self.chosen(found.block);
                let about = About::new(&block, (block.from, block.to()), vec![found.host], self.some());
                (block, about, None)
            }
            Of::Time { selection, base } => {
                let merged = reader.merged_until(selection, &over)?;
                let Some(span) = merged.span else { return none_of_that_time(reader).map(Err) };
                let block = self.chosen(merged.block);
                let hosts = merged.hosts.into_iter().collect();
                let about = About::new(&block, span, hosts, self.some());
                let base = match base {
                    None => None,
                    Some(base) => {
                        let merged = reader.merged_until(base, &over)?;
                        let Some(span) = merged.span else { return none_of_that_time(reader).map(Err) };
                        Some((self.chosen(merged.block), span))
                    }
                };
                (block, about, base)
            }
        };
        let mut about = about;
        about.base = base.as_ref().map(|(_, span)| *span);
        Ok(made(&self.shape, &block, base.as_ref().map(|(block, _)| block), &about))
    }

    /// Of a block the processes that were asked for. Those of a time the store has chosen, all but their start.
    fn chosen(&self, block: Block) -> Block {
        let is_kept = matches!(self.of, Of::Time { .. });
        let began = |start: u64| self.start_ms.is_none_or(|ms| start / 1_000_000 == ms);
        let takes: Vec<bool> = block
            .groups
            .iter()
            .map(|group| began(group.start.0) && (is_kept || self.processes.takes(group)))
            .collect();
        if takes.iter().all(|takes| *takes) {
            return block;
        }
        let only = block.only(|_, entry| takes[entry.group as usize]);
        Block { counters: block.counters, ..only }
    }
}
