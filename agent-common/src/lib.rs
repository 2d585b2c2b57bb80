//! Types that cross a boundary of s7mpa: [`abi`] between kernel and collector, `pair` between the two processes of the
//! agent, `wire` between collector and server (feature `std`), [`units`] everywhere; `clocks` of a time namespace against
//! the kernel's, the `boot`, and `text`, in which all of them speak to people (feature `std`).
#![cfg_attr(not(feature = "std"), no_std)]

pub mod abi;
#[cfg(feature = "std")]
pub mod boot;
#[cfg(feature = "std")]
pub mod clocks;
pub mod le;
#[cfg(feature = "std")]
pub mod pair;
#[cfg(feature = "std")]
pub mod settings;
#[cfg(feature = "std")]
pub mod text;
pub mod units;
pub mod unwind;
#[cfg(feature = "std")]
pub mod varint;
#[cfg(feature = "std")]
pub mod wire;
