//! Separate debug files: where distributions, build systems and debuginfod put them.

use std::fmt::Write as _;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use opener::file::{self, Held, Root};

use super::debuginfod;
use super::elf::{DebugLink, Image};

/// Where distributions put them.
const DEBUG_DIR: &str = "usr/lib/debug";
/// A debug file that a checksum alone proves to be the right one is read whole for it; this much at most.
const MAX_CHECKED: u64 = 512 << 20;

/// Where a file was found.
pub(super) type Found = (Root, PathBuf);

/// The debug file of `image`, which lies at `path` below `root` (of a process that maps it). In this order: by build
/// ID, here and below `root`; by the name in its `.gnu_debuglink`; in debuginfod's cache. In each case the build IDs must be the
/// same, or else the checksum right. Both are easily forged: with `trusted`, this takes only a file that no user but root could
/// write. Also returns where the file is. May wait for file systems.
pub(super) fn find(image: &Image, path: &Path, root: Root, trusted: bool) -> Option<(File, Image, Found)> {
    let id = image.build_id.as_deref();
    let by_id = id.into_iter().flat_map(|id| {
        let file = by_build_id(id);
        [(Root::Own, file.clone()), (root, file)]
    });
    let by_link = image.debug_link().into_iter().flat_map(|link| by_link(link, path, root));
    let open = |(root, path): (Root, PathBuf)| {
        let held = file::below(root, &path).ok().filter(|held| !trusted || held.is_trusted())?;
        Some((held, (root, path)))
    };
    // The cache is ours: what is in it came from the servers that the operator names.
    let cached = || {
        let path = id.and_then(debuginfod::cached)?;
        Some((file::at(&path).ok()?, (Root::Own, path)))
    };
    let found = by_id.chain(by_link).filter_map(open);
    found.chain(std::iter::once_with(cached).flatten()).find_map(|(held, found): (Held, Found)| {
        let file = held.reader().ok()?;
        let its = Image::read(&file)?;
        let right = match (id, its.build_id.as_deref()) {
            (Some(one), Some(other)) => one == other,
            _ => image.debug_link().is_some_and(|link| crc(&file) == Some(link.crc)),
        };
        right.then_some((file, its, found))
    })
}

pub(super) fn by_build_id(id: &[u8]) -> PathBuf {
    let hex = hex(id);
    let (first, rest) = hex.split_at_checked(2).unwrap_or_default();
    Path::new(DEBUG_DIR).join(format!(".build-id/{first}/{rest}.debug"))
}

/// Where gdb looks for them. A link is a plain file name: one that contains directories is an attack.
fn by_link(link: &DebugLink, path: &Path, root: Root) -> Vec<(Root, PathBuf)> {
    if link.name.contains('/') {
        return Vec::new();
    }
    let dir = path.parent().unwrap_or(Path::new("/"));
    let dir = dir.strip_prefix("/").unwrap_or(dir);
    let places = [dir.to_owned(), dir.join(".debug"), Path::new(DEBUG_DIR).join(dir)];
    let roots = [root, Root::Own];
    roots.iter().flat_map(|root| places.iter().map(|place| (*root, place.join(&link.name)))).collect()
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

fn crc(file: &File) -> Option<u32> {
    if file.metadata().ok()?.len() > MAX_CHECKED {
        return None;
    }
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; 64 * 1024];
    let mut reader = file.take(MAX_CHECKED);
    loop {
        match reader.read(&mut buffer).ok()? {
            0 => return Some(hasher.finalize()),
            got => hasher.update(&buffer[..got]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_looked_for_where_gdb_does() {
        let file = by_build_id(&[0xab, 0xcd, 0x01]);
        assert_eq!(file, Path::new("usr/lib/debug/.build-id/ab/cd01.debug"));
        let link = DebugLink { name: "x.debug".to_owned(), crc: 0 };
        let places = by_link(&link, Path::new("/opt/app/bin/x"), Root::Of(7));
        let want = ["opt/app/bin/x.debug", "opt/app/bin/.debug/x.debug", "usr/lib/debug/opt/app/bin/x.debug"];
        let below = |root| want.map(|path| (root, PathBuf::from(path)));
        assert_eq!(places, [below(Root::Of(7)), below(Root::Own)].concat());
        let trick = DebugLink { name: "../../dev/watchdog".to_owned(), crc: 0 };
        assert_eq!(by_link(&trick, Path::new("/opt/x"), Root::Own), []);
        assert_eq!(by_build_id(&[]), Path::new("usr/lib/debug/.build-id//.debug"));
    }
}
