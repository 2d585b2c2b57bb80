//! `sock_diag`: the kernel's data about sockets, read over netlink in their network namespace.

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};

use agent_common::le::{u16_at, u32_at};
use nix::sys::socket::{MsgFlags, recv, send};

use crate::netns;

/// `SOCK_DIAG_BY_FAMILY` (`include/uapi/linux/sock_diag.h`).
const BY_FAMILY: u16 = 20;
/// `struct nlmsghdr`, `struct inet_diag_req_v2`.
const HEADER: usize = 16;
const INET_REQUEST: usize = 56;
/// `struct inet_diag_msg`: what comes before the attributes of a TCP socket.
pub const INET_MESSAGE: usize = 72;
/// A page of answers; the kernel fills up to 32 KiB at once.
const ANSWER_BYTES: usize = 32 << 10;
/// `TCP_LISTEN` (`include/net/tcp_states.h`).
pub const LISTEN: u8 = 10;

/// A `sock_diag` netlink socket.
#[derive(Debug)]
pub struct Diag(OwnedFd);

impl Diag {
    /// In the namespace of the calling thread.
    pub fn open() -> io::Result<Self> {
        Ok(Self(netns::diag_socket()?))
    }

    /// In another namespace.
    pub fn open_in(space: &File) -> io::Result<Self> {
        Ok(Self(netns::diag_socket_in(space)?))
    }

    /// Calls `each` with the message of every TCP socket in these states (bits), with the attribute of this kind.
    pub fn tcp(&self, states: u32, attribute: u16, each: impl FnMut(&[u8])) -> io::Result<()> {
        self.dump(libc::IPPROTO_TCP, states, 1 << (attribute - 1), each)
    }

    /// The same of every UDP socket, without attributes.
    pub fn udp(&self, states: u32, each: impl FnMut(&[u8])) -> io::Result<()> {
        self.dump(libc::IPPROTO_UDP, states, 0, each)
    }

    fn dump(
        &self,
        protocol: i32,
        states: u32,
        attributes: u8,
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        for family in [libc::AF_INET, libc::AF_INET6] {
            let mut request = [0; INET_REQUEST];
            request[..3].copy_from_slice(&[family as u8, protocol as u8, attributes]);
            request[4..8].copy_from_slice(&states.to_ne_bytes());
            self.send(&request, libc::NLM_F_DUMP)?;
            let mut answer = vec![0; ANSWER_BYTES];
            loop {
                let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
                if messages(&answer[..length], &mut each) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Calls `each` with the message of the one socket of a request, if it exists.
    pub fn one(&self, request: &[u8], each: impl FnMut(&[u8])) -> io::Result<()> {
        self.send(request, 0)?;
        let mut answer = vec![0; ANSWER_BYTES];
        let length = recv(self.0.as_raw_fd(), &mut answer, MsgFlags::empty())?;
        messages(&answer[..length], each);
        Ok(())
    }

    fn send(&self, request: &[u8], flags: i32) -> io::Result<()> {
        send(self.0.as_raw_fd(), &question(request, flags), MsgFlags::empty())?;
        Ok(())
    }
}

/// A request with its head.
fn question(request: &[u8], flags: i32) -> Vec<u8> {
    let length = (HEADER + request.len()) as u32;
    let mut bytes = length.to_ne_bytes().to_vec();
    bytes.extend(BY_FAMILY.to_ne_bytes());
    bytes.extend(((libc::NLM_F_REQUEST | flags) as u16).to_ne_bytes());
    bytes.resize(HEADER, 0);
    bytes.extend(request);
    bytes
}

/// Calls `each` with the messages of one answer. True after the last, or when it is not an answer.
fn messages(mut bytes: &[u8], mut each: impl FnMut(&[u8])) -> bool {
    while let (Some(length), Some(kind)) = (u32_at(bytes, 0), u16_at(bytes, 4)) {
        let Some(message) = bytes.get(..length as usize).filter(|m| m.len() >= HEADER) else { return true };
        if kind != BY_FAMILY {
            return true;
        }
        each(&message[HEADER..]);
        bytes = bytes.get((length as usize).next_multiple_of(4)..).unwrap_or_default();
    }
    false
}

/// Calls `each` with kind and value of the attributes behind a message.
pub fn attributes(mut bytes: &[u8], mut each: impl FnMut(u16, &[u8])) {
    while let (Some(length), Some(kind)) = (u16_at(bytes, 0), u16_at(bytes, 2)) {
        let length = usize::from(length.max(4));
        each(kind, bytes.get(4..length).unwrap_or_default());
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
}

/// The big-endian port at an offset.
pub fn u16_be_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_answer_ends_the_reading() {
        let mut found = 0;
        let mut read = |bytes: &[u8]| messages(bytes, |_| found += 1);
        assert!(!read(&[]));
        assert!(read(&[255; 40]));
        let mut short = question(&[0; INET_REQUEST], libc::NLM_F_DUMP);
        short[0] = 3;
        assert!(read(&short));
        assert_eq!(found, 0);
    }
}
