use clap::{Parser};
#[derive(Parser)] struct A { set: agent::bench_probe::Set }
fn main(){ tracing_subscriber::fmt().init(); agent::bench_probe::run(A::parse().set).unwrap(); }
