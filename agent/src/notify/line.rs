//! Questions to the plugin process.

use std::io::{BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use plugin::{Reply, Request};

/// One way to ask it. Clones share it; the daemon makes it anew with the process.
#[derive(Debug, Clone, Default)]
pub struct Line(Arc<Mutex<Option<BufReader<UnixStream>>>>);

impl Line {
    /// Asks and waits for the answer. Blocks for as long as the program runs.
    pub fn ask(&self, request: &Request) -> Result<(), String> {
        let mut line = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = line.as_mut().ok_or("the plugin process does not run; it is started again")?;
        let answer = stream
            .get_mut()
            .write_all(&plugin::line(request))
            .and_then(|()| plugin::read_line(stream))
            .map_err(|error| format!("the plugin process does not answer: {error}"));
        match answer.map(|text| text.map(|text| serde_json::from_str(&text))) {
            Ok(Some(Ok(Reply::Done))) => Ok(()),
            Ok(Some(Ok(Reply::Failed(why)))) => Err(why),
            // What comes later would be taken for the next answer.
            Ok(Some(Err(_)) | None) => {
                *line = None;
                Err("the plugin process has ended".to_owned())
            }
            Err(why) => {
                *line = None;
                Err(why)
            }
        }
    }

    /// To a process that was started anew.
    pub(crate) fn set(&self, stream: Option<UnixStream>) {
        // Whoever waits for an answer holds the lock until the old process is gone, which it is.
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stream.map(BufReader::new);
    }
}
