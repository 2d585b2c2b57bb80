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
//! Samples, names, timelines and folded stacks are those of the crate `profile`. Only [`symbolize`] does I/O.

pub mod diff;
mod elf;
pub mod firefox;
pub mod format;
#[cfg(any(test, feature = "fuzz"))]
pub mod fuzz;
pub mod html;
pub mod maps;
pub mod pprof;
pub mod python;
pub mod read;
pub mod speedscope;
pub mod svg;
pub mod symbolize;
pub mod text;
pub mod unwind;

pub use format::{About, Format, Unit};
pub use svg::{SvgOptions, Theme};
pub use symbolize::{
    Error, Mapped, Symbolizer, SymbolizerOptions, SymbolizerStats, readable, set_debuginfod,
};
