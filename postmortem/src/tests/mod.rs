//! Cases and decoys.

mod build;
mod decoys;
mod forged;
mod later;
mod later_again;
mod missing_facts;
mod named;
mod of_calls;
mod of_programs;
mod of_signals;
mod of_words;
mod page;
