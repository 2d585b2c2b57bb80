//! Blocks → the bytes of an answer.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE};
use axum::http::{HeaderValue, Response, StatusCode};
use flamegraphs::diff::Difference;
use flamegraphs::{SvgOptions, Theme, pprof, svg, text};
use profile::block::{Block, Group, Shown};
use profile::graph::{Builder, Side, View};
use profile::{FoldOptions, Folded, Frame, Timeline};
use serde::Serialize;
use serde_json::Value;

use super::about::{About, unit};
use super::question::{Format, Shape};
use crate::api::problem::Problem;

/// Most nodes of the whole graph: more stacks are cut, and counted. A node takes some 100 bytes while it is made.
const MAX_NODES: usize = 1_000_000;
/// Most bytes of folded text, which has each stack as a whole; a picture is made of that, too.
const MAX_TEXT: u64 = 64 << 20;

/// The bytes of a graph, in its format.
pub(in crate::api::v1) fn made(
    shape: &Shape,
    block: &Block,
    base: Option<&Block>,
    about: &About,
) -> Result<Vec<u8>, Problem> {
    match shape.format {
        Format::Binary => {
            let view = view(shape, block, base)?;
            Ok(view.encode(&about.json(shape.mode, &view).to_string()))
        }
        Format::Json => {
            let view = view(shape, block, base)?;
            lists(&view, &about.json(shape.mode, &view)).map_err(|error| Problem::broken(&error))
        }
        Format::Pprof => {
            let mut out = Vec::new();
            let timeline = timeline(shape, block)?;
            written(pprof::write(&timeline, &about.of_file(shape.mode), &mut out)).map(|()| out)
        }
        Format::Folded => folded_text(shape, block, base),
        Format::Svg => picture(shape, block, base, about),
    }
}

/// The answer that they are.
pub(in crate::api::v1) fn answer(format: Format, bytes: Vec<u8>) -> Response<Body> {
    let (kind, file) = match format {
        Format::Binary => ("application/vnd.s7mpa.flamegraph", None),
        Format::Json => ("application/json", None),
        Format::Pprof => {
            ("application/vnd.google.protobuf+gzip", Some("attachment; filename=\"flamegraph.pb.gz\""))
        }
        Format::Folded => ("text/plain; charset=utf-8", Some("attachment; filename=\"flamegraph.folded\"")),
        // Its script would not run here: it is a file to keep.
        Format::Svg => ("image/svg+xml", Some("attachment; filename=\"flamegraph.svg\"")),
    };
    let mut response = Response::new(Body::from(bytes));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(file) = file {
        response.headers_mut().insert(CONTENT_DISPOSITION, HeaderValue::from_static(file));
    }
    response
}

fn view(shape: &Shape, block: &Block, base: Option<&Block>) -> Result<View, Problem> {
    let mut builder = Builder::new(MAX_NODES);
    Shown::of(shape.mode, shape.no_idle, shape.parts, |shown| {
        builder.add(Side::Shown, block, shown, shape.roots);
        if let Some(base) = base {
            builder.add(Side::Base, base, shown, shape.roots);
        }
    });
    let none = || Problem::new(StatusCode::NOT_FOUND, "under: the graph of this time has no such node");
    builder.finish().view(&shape.part).ok_or_else(none)
}

/// The same as the binary form: a list of frames, and a list of numbers for each column of the nodes. Written as it goes: as values of
/// JSON a million nodes would take 200 MB.
fn lists(view: &View, about: &Value) -> serde_json::Result<Vec<u8>> {
    #[derive(Serialize)]
    struct Named<'f> {
        name: &'f str,
        kind: &'f str,
        module: Option<&'f str>,
    }
    let named = |frame: &Frame| {
        let module = frame.module.as_deref();
        serde_json::to_vec(&Named { name: &frame.name, kind: frame.kind.as_str(), module })
    };
    let mut out = about.to_string().into_bytes();
    // Its last bracket.
    out.pop();
    out.extend_from_slice(b",\"frames\":[");
    for (at, frame) in view.graph.frames.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.append(&mut named(frame)?);
    }
    out.extend_from_slice(b"],\"nodes\":{");
    for (at, column) in view.columns().enumerate() {
        let comma = if at > 0 { "," } else { "" };
        out.extend_from_slice(format!("{comma}\"{}\":", column.name).as_bytes());
        let numbers: Vec<u64> = view.graph.nodes.iter().map(column.get).collect();
        serde_json::to_writer(&mut out, &numbers)?;
    }
    out.extend_from_slice(b"}}");
    Ok(out)
}

fn timeline(shape: &Shape, block: &Block) -> Result<Timeline, Problem> {
    let timeline =
        Shown::of(shape.mode, shape.no_idle, shape.parts, |shown| block.timeline(shown, Group::place));
    let bytes_of = |stack: &[u32]| {
        stack.iter().map(|frame| timeline.frames[*frame as usize].name.len() as u64 + 1).sum::<u64>()
    };
    let stacks: Vec<u64> = timeline.stacks.iter().map(|stack| bytes_of(stack)).collect();
    let all = timeline.points.iter().map(|point| stacks[point.stack as usize]).sum::<u64>();
    if all > MAX_TEXT {
        let detail = format!(
            "the stacks of this time have {} MiB as text, and {} are written: ask for a shorter time, for fewer processes, or for \
             format=binary",
            all >> 20,
            MAX_TEXT >> 20
        );
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    Ok(timeline)
}

fn folded(shape: &Shape, block: &Block) -> Result<Folded, Problem> {
    let options = FoldOptions { roots: shape.roots, annotate: true, parts: shape.parts };
    Ok(Folded::new(&timeline(shape, block)?, &options))
}

/// Of a difference each line has the weight before and after.
fn folded_text(shape: &Shape, block: &Block, base: Option<&Block>) -> Result<Vec<u8>, Problem> {
    let after = folded(shape, block)?;
    let Some(base) = base else {
        let mut out = Vec::new();
        return written(text::write(&after, &mut out)).map(|()| out);
    };
    let difference = Difference::new(&folded(shape, base)?, &after);
    let mut out = String::new();
    for (stack, before, after) in &difference.stacks {
        let _ = writeln!(out, "{stack} {before} {after}");
    }
    Ok(out.into_bytes())
}

fn picture(shape: &Shape, block: &Block, base: Option<&Block>, about: &About) -> Result<Vec<u8>, Problem> {
    let after = folded(shape, block)?;
    let options = SvgOptions {
        title: about.title(shape.mode),
        subtitle: Some(about.sentence(shape.mode)),
        count_name: unit(shape.mode).to_owned(),
        theme: if shape.mode.has_samples() { Theme::Ran } else { Theme::Waited },
        ..SvgOptions::default()
    };
    let mut out = Vec::new();
    let done = match base {
        None => svg::write(&after, &options, &mut out),
        Some(base) => {
            let difference = Difference::new(&folded(shape, base)?, &after).normalized();
            svg::write_difference(&difference, &options, &mut out)
        }
    };
    written(done).map(|()| out)
}

fn written(done: std::io::Result<()>) -> Result<(), Problem> {
    done.map_err(|error| Problem::broken(&error))
}
