//! The sink against real brokers and the real server: nothing is lost, nothing is stored twice, nothing blocks.
//!
//! What gets killed runs in a child process: this test binary, called again for [`child`].

mod common;
mod connect;
#[path = "../../../server/tests/influx/servers.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod databases;
#[path = "../../../server/tests/common/mosquitto.rs"]
#[allow(dead_code, reason = "each test binary uses a part")]
mod mosquitto;
mod pipeline;
mod profiles;
mod spool;

/// Body of the child processes. Called by the harness like any test, it finds nothing to do.
#[test]
fn child() {
    common::serve_if_child();
    spool::write_if_child();
}
