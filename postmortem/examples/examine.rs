//! Facts as JSON, one object a line, from stdin to their post-mortems, one object a line; `null` for an end that is as it is meant.

use std::io::{BufRead, Write};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let facts: postmortem::Facts = serde_json::from_str(&line?)?;
        writeln!(out, "{}", serde_json::to_string(&postmortem::examine(&facts))?)?;
    }
    Ok(())
}
