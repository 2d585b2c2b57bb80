//! Descriptors in messages of a Unix socket (`SCM_RIGHTS`).

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg, sendmsg,
    socketpair,
};

/// Descriptors in one message, at most.
const MAX_DESCRIPTORS: usize = 8;

/// Two ends that keep the borders of messages, and say when the other end is gone. Closed at exec.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::Unix, SockType::SeqPacket, None, SockFlag::SOCK_CLOEXEC)?)
}

/// Sends a message with these descriptors.
pub fn send(socket: impl AsFd, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> io::Result<()> {
    let raw: Vec<RawFd> = descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[] } else { &rights[..] };
    sendmsg::<()>(socket.as_fd().as_raw_fd(), &[IoSlice::new(bytes)], control, MsgFlags::MSG_NOSIGNAL, None)?;
    Ok(())
}

/// Receives a message of at most `most` bytes, and its descriptors; nothing of either when the other end is gone.
pub fn receive(socket: impl AsFd, most: usize) -> io::Result<(Vec<u8>, Vec<OwnedFd>)> {
    let mut bytes = vec![0; most];
    let mut control = nix::cmsg_space!([RawFd; MAX_DESCRIPTORS]);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let message = recvmsg::<()>(
        socket.as_fd().as_raw_fd(),
        &mut buffers,
        Some(&mut control),
        MsgFlags::MSG_CMSG_CLOEXEC,
    )?;
    let mut descriptors = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made these for us, and they are named here only.
            descriptors.extend(raw.into_iter().map(|raw| unsafe { OwnedFd::from_raw_fd(raw) }));
        }
    }
    let (length, flags) = (message.bytes, message.flags);
    if flags.intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC) {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a message is too long"));
    }
    bytes.truncate(length);
    Ok((bytes, descriptors))
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Read as _;

    use super::*;

    #[test]
    fn a_message_brings_its_descriptors() {
        let (ours, theirs) = pair().unwrap();
        let file = File::open("/proc/self/comm").unwrap();
        send(&ours, b"one", &[file.as_fd()]).unwrap();
        send(&ours, b"two", &[]).unwrap();
        let (bytes, descriptors) = receive(&theirs, 16).unwrap();
        assert_eq!((bytes.as_slice(), descriptors.len()), (&b"one"[..], 1));
        let mut text = String::new();
        File::from(descriptors.into_iter().next().unwrap()).read_to_string(&mut text).unwrap();
        assert!(!text.is_empty());
        assert_eq!(receive(&theirs, 16).unwrap().0, b"two");
        drop(ours);
        assert!(receive(&theirs, 16).unwrap().0.is_empty());
    }

    #[test]
    fn a_message_that_is_too_long_is_an_error_and_leaves_no_descriptor_open() {
        let (ours, theirs) = pair().unwrap();
        let (read, write) = nix::unistd::pipe().unwrap();
        send(&ours, &[0; 32], &[write.as_fd()]).unwrap();
        drop(write);
        assert!(receive(&theirs, 16).is_err());
        // The copy that was in the message is closed: the pipe has ended.
        assert_eq!(File::from(read).read(&mut [0]).unwrap(), 0);
    }
}
