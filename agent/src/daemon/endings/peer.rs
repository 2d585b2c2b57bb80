//! What a failed call was about: a path, or an address.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use agent_common::abi::endings::{
    COMPONENT_BYTES, FailedCall, SUBJECT_BYTES, SUBJECT_FILE, SUBJECT_PATH, SUBJECT_PEER,
};
use agent_common::units::Tgid;

use crate::source::mounts::{self, Mount};
use crate::source::process::comm_str;

/// The mounts of this host, read once for the calls of an end, if any needs them.
#[derive(Debug, Default)]
pub(super) struct Mounts(OnceCell<HashMap<u32, Mount>>);

impl Mounts {
    /// Where a device is mounted; the shortest of several such places. The kernel's device number has 20 bits for the minor part.
    fn point(&self, dev: u32) -> Option<&str> {
        let all = self.0.get_or_init(|| mounts::of(Tgid(std::process::id())));
        let points = all.iter().filter(|(_, mount)| mount.dev == dev && mount.root == "/");
        points.min_by_key(|(id, mount)| (mount.point.len(), **id)).map(|(_, mount)| &*mount.point)
    }
}

/// Path and peer; empty where the call had none.
pub(super) fn subject(call: &FailedCall, mounts: &Mounts) -> (String, String) {
    let mut bytes = [0; SUBJECT_BYTES];
    for (word, to) in call.subject.iter().zip(bytes.as_chunks_mut::<8>().0) {
        *to = word.to_ne_bytes();
    }
    match call.kind {
        SUBJECT_PATH => (text(&bytes), String::new()),
        SUBJECT_PEER => (String::new(), address(&bytes, call.bytes.into()).unwrap_or_default()),
        SUBJECT_FILE => (below_mount(&bytes, mounts, call.dev, call.bytes == 1), String::new()),
        _ => Default::default(),
    }
}

/// Text up to its first NUL.
pub(super) fn text(bytes: &[u8]) -> String {
    comm_str(bytes).into_owned()
}

/// Components, leaf first, below the place where their device is mounted. The first of several such places counts.
fn below_mount(bytes: &[u8], mounts: &Mounts, dev: u32, whole: bool) -> String {
    let names = bytes.chunks(COMPONENT_BYTES).map(text);
    let names: Vec<String> = names.take_while(|name| !name.is_empty() && name != "/").collect();
    let path = names.iter().rev().fold(String::new(), |path, name| path + "/" + name);
    let point = whole.then(|| mounts.point(dev)).flatten().unwrap_or_default();
    if whole { format!("{}{path}", point.trim_end_matches('/')) } else { format!("…{path}") }
}

/// A `struct sockaddr` as text: `127.0.0.1:5432`, `[::1]:80`, `unix:/run/x`, `unix:@abstract`.
fn address(bytes: &[u8], length: usize) -> Option<String> {
    let (family, rest) = bytes.split_first_chunk()?;
    let port = || Some(u16::from_be_bytes(*rest.first_chunk()?));
    match i32::from(u16::from_ne_bytes(*family)) {
        libc::AF_INET => {
            Some(socket(rest.get(2..6)?.first_chunk::<4>().map(|ip| Ipv4Addr::from(*ip).into())?, port()?))
        }
        libc::AF_INET6 => {
            Some(socket(rest.get(6..22)?.first_chunk::<16>().map(|ip| Ipv6Addr::from(*ip).into())?, port()?))
        }
        libc::AF_UNIX => {
            let path = rest.get(..length.checked_sub(2)?)?;
            match path.first()? {
                0 => Some(format!("unix:@{}", String::from_utf8_lossy(&path[1..]))),
                _ => Some(format!("unix:{}", text(path))),
            }
        }
        _ => None,
    }
}

fn socket(ip: IpAddr, port: u16) -> String {
    SocketAddr::new(ip.to_canonical(), port).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(kind: u8, subject: &[u8]) -> FailedCall {
        let mut call = FailedCall { kind, bytes: subject.len() as u16, ..FailedCall::default() };
        for (word, bytes) in call.subject.iter_mut().zip(subject.chunks(8)) {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            *word = u64::from_ne_bytes(eight);
        }
        call
    }

    fn subject(call: &FailedCall) -> (String, String) {
        super::subject(call, &Mounts::default())
    }

    #[test]
    fn a_file_is_named_by_the_first_place_of_its_device() {
        let mount = |dev, root: &str, point: &str| Mount {
            dev,
            root: root.into(),
            point: point.into(),
            is_fuse: false,
        };
        let all = [
            (9, mount(7, "/", "/late")),
            (5, mount(7, "/", "/data")),
            (3, mount(7, "/sub", "/bind")),
            (1, mount(8, "/", "/")),
        ];
        let mounts = Mounts(OnceCell::from(HashMap::from(all)));
        let file =
            |dev| super::subject(&FailedCall { dev, bytes: 1, ..call(SUBJECT_FILE, b"file") }, &mounts).0;
        assert_eq!((&*file(7), &*file(8), &*file(9)), ("/data/file", "/file", "/file"));
    }

    #[test]
    fn addresses_are_shown_as_people_write_them() {
        let peer = |bytes: &[u8]| subject(&call(SUBJECT_PEER, bytes)).1;
        assert_eq!(peer(&[2, 0, 0x15, 0x38, 127, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0]), "127.0.0.1:5432");
        let mut six = [0; 28];
        (six[0], six[3], six[23]) = (10, 80, 1);
        assert_eq!(peer(&six), "[::1]:80");
        assert_eq!(peer(b"\x01\0/run/x\0\0"), "unix:/run/x");
        assert_eq!(peer(b"\x01\0\0bus"), "unix:@bus");
        for length in 0..28 {
            let _ = peer(&six[..length]);
        }
    }

    #[test]
    fn a_path_ends_at_its_nul_and_components_are_turned_round() {
        assert_eq!(subject(&call(SUBJECT_PATH, b"/etc/app.conf\0rest")).0, "/etc/app.conf");
        let mut components = [0; SUBJECT_BYTES];
        components[..4].copy_from_slice(b"file");
        components[COMPONENT_BYTES..COMPONENT_BYTES + 3].copy_from_slice(b"dir");
        components[2 * COMPONENT_BYTES..=2 * COMPONENT_BYTES].copy_from_slice(b"/");
        let file = |components: &[u8], whole| {
            subject(&FailedCall { bytes: whole, ..call(SUBJECT_FILE, components) }).0
        };
        assert_eq!(file(&components, 1), "/dir/file");
        components[2 * COMPONENT_BYTES..][..32].fill(b'x');
        components[3 * COMPONENT_BYTES..][..1].fill(b'y');
        assert!(file(&components, 0).starts_with("…/y/xxx"));
        assert!(file(&components, 1).starts_with("/y/xxx"));
    }
}
