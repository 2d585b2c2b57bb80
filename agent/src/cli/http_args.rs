//! Flags of the HTTP API, for both commands that run it.

use clap::Args;

#[derive(Debug, Args)]
pub(super) struct HttpArgs {
    /// Where the HTTP API listens [default: 127.0.0.1:7676]
    #[arg(long, value_name = "ADDRESS", conflicts_with = "no_http")]
    http: Option<String>,

    /// No HTTP API
    #[arg(long)]
    no_http: bool,
}

/// A setting, its value if the flag is there, and the flag.
type Flag = (&'static str, Option<String>, &'static str);

impl HttpArgs {
    pub(super) fn listen(&self) -> Flag {
        ("server.http.listen", self.http.clone(), "--http")
    }

    pub(super) fn enabled(&self) -> Flag {
        ("server.http.enabled", self.no_http.then(|| "false".to_owned()), "--no-http")
    }
}
