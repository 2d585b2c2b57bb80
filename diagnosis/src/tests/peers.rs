//! Who asks and who serves, over sockets.

use std::sync::Arc;

use agent_common::abi::sched::State::{self, NetRecv, Oncpu, Poll, Sleep};

use super::scene::*;
use crate::testing::calls;
use crate::window::{WaitTarget, Window};

fn socket(local_port: u16, port: u16, ms: u64) -> W {
    let target = WaitTarget::Socket { protocol: 6, local_port, peer: Some(peer(port)) };
    W { target, ..simple(10, 10, NetRecv, RECVFROM, ms, None) }
}

#[test]
fn a_client_waits_for_its_peer_and_a_server_is_idle() {
    let at = |local: u16, port: u16| {
        scene(move |window| {
            process(window, 10, "app", &[&[(NetRecv, 900), (Oncpu, 100)]]);
            wait(window, &socket(local, port, 900));
            window.syscalls.push(calls(10, "app", RECVFROM, 100, 0, 900));
            window.syscalls.push(calls(10, "app", WRITE, 100, 0, 900));
        })
    };
    let finding = alarm(&at(45_000, 5_432));
    assert_eq!(finding.class, "net-peer");
    assert_eq!(culprit(&finding), ("peer".into(), None, "10.0.0.2:5432".into()));
    assert!(found(&at(5_432, 45_000)).is_empty());
    assert_eq!(alarm(&at(45_000, 53)).class, "dns");
}

#[test]
fn a_poll_that_the_peer_ends_by_closing_was_not_for_an_answer() {
    const POLL: u16 = 7;
    let ended = |closes: bool| {
        scene(move |window| {
            process(window, 10, "app", &[&[(NetRecv, 900), (Oncpu, 100)]]);
            process(window, 20, "server", &[&[(Oncpu, 700), (NetRecv, 300)]]);
            let target = WaitTarget::Socket {
                protocol: 6,
                local_port: 45_000,
                peer: Some((std::net::Ipv4Addr::LOCALHOST.into(), 5_432)),
            };
            wait(window, &W { target, ..simple(10, 10, NetRecv, POLL, 900, Some((20, 20))) });
            window.waits.last_mut().and_then(|wait| wait.waker.as_mut()).expect("just put there").closes =
                closes;
        })
    };
    assert_eq!(alarm(&ended(false)).class, "net-peer");
    assert_eq!(found(&ended(true)), []);
}

/// A client that waits for many connections at once (`epoll_wait`) for 900 of 1000 ms. A server ends the waits; `server` are
/// the states of its thread in that time.
fn event_loop(local_port: u16, server: &'static [(State, u64)]) -> Vec<Arc<Window>> {
    const EPOLL_WAIT: u16 = 232;
    scene(move |window| {
        process(window, 10, "loop", &[&[(Poll, 900), (Oncpu, 100)]]);
        process(window, 20, "server", &[server]);
        let loopback = std::net::Ipv4Addr::LOCALHOST.into();
        let target = WaitTarget::Socket { protocol: 6, local_port, peer: Some((loopback, 5_432)) };
        wait(window, &W { target, ..simple(10, 10, Poll, EPOLL_WAIT, 900, Some((20, 20))) });
    })
}

#[test]
fn an_event_loop_waits_for_the_server_of_its_requests() {
    let servers: [&[_]; 2] = [&[(Oncpu, 900), (NetRecv, 100)], &[(Sleep, 900), (NetRecv, 100)]];
    for server in servers {
        let finding = alarm(&event_loop(45_000, server));
        assert_eq!((&*finding.class, finding.subject.pid), ("net-peer", Some(10)), "{server:?}");
        assert_eq!(culprit(&finding), ("process".into(), Some(20), "server".into()));
    }
}

#[test]
fn an_event_loop_that_serves_or_has_a_quiet_server_waits_for_work() {
    assert!(found(&event_loop(5_432, &[(Sleep, 900), (NetRecv, 100)])).is_empty());
    let servers: [&[_]; 2] = [&[(NetRecv, 990), (Oncpu, 10)], &[(Poll, 990), (Oncpu, 10)]];
    for quiet in servers {
        assert!(found(&event_loop(45_000, quiet)).is_empty(), "{quiet:?}");
    }
}
