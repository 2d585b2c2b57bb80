//! Addresses → names → folded stacks → SVG.
//!
//! ```no_run
//! use flamegraphs::{FoldOptions, Sample, Symbolizer, SymbolizerOptions, svg};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let symbolizer = Symbolizer::spawn(SymbolizerOptions::default())?;
//! symbolizer.observe(4242); // remember its mappings now: it may exit before it is folded
//! let samples: Vec<Sample> = Vec::new(); // from the collector
//! let folded = symbolizer.fold(samples, FoldOptions::default())?;
//! let options = svg::SvgOptions { subtitle: Some(folded.names.to_string()), ..Default::default() };
//! svg::write(&folded, &options, std::fs::File::create("out.svg")?)?;
//! # Ok(())
//! # }
//! ```
//!
//! Stacks are leaf first in memory ([`Sample`]) and root first in text ([`Folded`]); [`fold`] is the
//! one place that reverses them. Only [`symbolize`] does I/O; [`fold`] and [`svg`] are pure.

pub mod coverage;
pub mod diff;
mod elf;
pub mod firefox;
pub mod fold;
pub mod format;
pub mod frame;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod html;
pub mod names;
pub mod pprof;
pub mod python;
pub mod read;
pub mod sample;
pub mod speedscope;
pub mod svg;
pub mod symbolize;
pub mod timeline;
pub mod unwind;

pub use coverage::{NameCoverage, NotRead, Unnamed};
pub use fold::{FoldOptions, Folded, Parts, Roots};
pub use format::{About, Format, Unit};
pub use frame::{Frame, Kind, Source};
pub use names::{Code, FrameName, Inlined, Names, Role};
pub use sample::{Sample, Stacked};
pub use svg::{SvgOptions, Theme};
pub use symbolize::{
    Error, Mapped, Symbolizer, SymbolizerOptions, SymbolizerStats, brief, readable, set_debuginfod,
};
pub use timeline::{Point, Thread, Timeline};
