//! Folded stacks as text: what flamegraph.pl, inferno and speedscope read.

use std::io;

use profile::Folded;

/// Writes one `comm;root;…;leaf count` a line.
pub fn write(folded: &Folded, mut out: impl io::Write) -> io::Result<()> {
    for (stack, weight) in &folded.stacks {
        writeln!(out, "{stack} {weight}")?;
    }
    out.flush()
}
