//! Types that cross a boundary of s7mpa: [`abi`] between kernel and collector, `wire` between collector and
//! server (feature `std`), [`units`] everywhere.
#![cfg_attr(not(feature = "std"), no_std)]

pub mod abi;
pub mod units;
#[cfg(feature = "std")]
pub mod wire;
