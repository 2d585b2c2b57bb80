//! Addresses → names; folded stacks and timelines → pictures and files.
//!
//! ```no_run
//! use flamegraphs::{Symbolizer, SymbolizerOptions, svg};
//! use profile::{FoldOptions, Sample};
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
//! Samples, names, timelines and folded stacks are those of the crate `profile`. Only `symbolize` does I/O; without the feature
//! `symbols` there are the formats alone.

pub mod diff;
#[cfg(feature = "symbols")]
mod elf;
pub mod firefox;
pub mod format;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod html;
#[cfg(feature = "symbols")]
pub mod maps;
pub mod pprof;
#[cfg(feature = "symbols")]
pub mod python;
pub mod read;
pub mod speedscope;
pub mod svg;
#[cfg(feature = "symbols")]
pub mod symbolize;
pub mod text;
#[cfg(feature = "symbols")]
pub mod unwind;

pub use format::{About, Format, Unit};
pub use svg::{SvgOptions, Theme};
#[cfg(feature = "symbols")]
pub use symbolize::{
    Error, Mapped, Symbolizer, SymbolizerOptions, SymbolizerStats, readable, set_debuginfod,
};
