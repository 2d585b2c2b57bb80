//! Where the other files are.

use std::fs::File;
use std::path::{Path, PathBuf};

use opener::file::{self, Root};

use crate::elf::{Elf, u16_at};
use crate::symbolize::debug::by_build_id;

/// What `.gnu_debugaltlink` and `.debug_sup` hold is a path and a checksum.
const MAX_LINK: u64 = 8192;

/// Where a file with debug info is itself: other files are named relative to it.
#[derive(Debug, Clone)]
pub(in crate::symbolize) struct Places {
    pub(in crate::symbolize) root: Root,
    /// Its path below that root.
    pub(in crate::symbolize) path: PathBuf,
    /// Only root can have written it: so must the others be.
    pub(in crate::symbolize) trusted: bool,
}

/// Which supplement belongs to a file.
#[derive(Debug, PartialEq, Eq)]
enum Link {
    BuildId(Vec<u8>),
    Checksum(Vec<u8>),
}

impl Places {
    /// What `dwz` has put elsewhere: by the path in the file, relative to the file itself, or by its build ID. It must be the
    /// very one that the file was made with.
    pub(super) fn supplement(&self, file: &File, elf: &Elf) -> Option<(File, Elf)> {
        let (path, link) = link(file, elf)?;
        let by_id = match &link {
            Link::BuildId(id) => vec![PathBuf::from("/").join(by_build_id(id))],
            Link::Checksum(_) => Vec::new(),
        };
        let named = self.file_dir().join(&path);
        self.open([named].into_iter().chain(by_id)).find(|(file, elf)| match &link {
            Link::BuildId(id) => elf.build_id(file).is_some_and(|(_, its)| *its == **id),
            Link::Checksum(sum) => {
                let its = content(file, elf, b".debug_sup").and_then(|bytes| supplement(&bytes));
                its.is_some_and(|(is_supplement, _, its)| is_supplement && its == *sum)
            }
        })
    }

    /// The `.dwp`: beside the file, with an ending more.
    pub(super) fn package(&self) -> Option<(File, Elf)> {
        let mut path = self.path.clone().into_os_string();
        path.push(".dwp");
        self.open([PathBuf::from(path)]).next()
    }

    /// A `.dwo`: where the compiler put it, or beside the file.
    pub(super) fn split(&self, dir: &str, path: &str) -> impl Iterator<Item = (File, Elf)> {
        let (path, own) = (Path::new(path), self.file_dir());
        let beside = path.file_name().map(|name| own.join(name));
        self.open([Path::new(dir).join(path), own.join(path)].into_iter().chain(beside))
    }

    fn file_dir(&self) -> PathBuf {
        self.path.parent().unwrap_or(Path::new("/")).to_owned()
    }

    /// Those of `paths` that are ELF files, first as the process sees them, then as we do.
    fn open(&self, paths: impl IntoIterator<Item = PathBuf>) -> impl Iterator<Item = (File, Elf)> {
        let (root, trusted) = (self.root, self.trusted);
        let below = move |path: PathBuf| [(root, path.clone()), (Root::Own, path)];
        paths.into_iter().flat_map(below).filter_map(move |(root, path)| {
            let held = file::below(root, &path).ok().filter(|held| !trusted || held.is_trusted())?;
            let file = held.reader().ok()?;
            let elf = Elf::read(&file)?;
            Some((file, elf))
        })
    }
}

fn content(file: &File, elf: &Elf, name: &[u8]) -> Option<Vec<u8>> {
    elf.section(name)?.content(file, MAX_LINK)
}

/// The path to the supplement, and what it is known by.
fn link(file: &File, elf: &Elf) -> Option<(PathBuf, Link)> {
    if let Some(bytes) = content(file, elf, b".gnu_debugaltlink") {
        let (path, id) = text(&bytes)?;
        return Some((path, Link::BuildId(id.to_owned())));
    }
    let (is_supplement, path, sum) = supplement(&content(file, elf, b".debug_sup")?)?;
    (!is_supplement).then_some((path, Link::Checksum(sum)))
}

/// `.debug_sup` of DWARF 5: version, whether this is the supplement, a path, length and bytes of a checksum.
fn supplement(bytes: &[u8]) -> Option<(bool, PathBuf, Vec<u8>)> {
    let is_supplement = *bytes.get(2)? != 0;
    let rest = bytes.get(3..).filter(|_| u16_at(bytes, 0) == Some(5))?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    let path = String::from_utf8_lossy(&rest[..end]).into_owned();
    // One byte of a length is enough for any checksum there is.
    let (len, sum) = rest.get(end + 1..)?.split_first()?;
    let sum = sum.get(..usize::from(*len)).filter(|_| *len < 0x80)?;
    Some((is_supplement, path.into(), sum.to_owned()))
}

/// A path with a zero behind it, and what follows; neither is empty.
fn text(bytes: &[u8]) -> Option<(PathBuf, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0).filter(|end| *end > 0)?;
    let path = String::from_utf8_lossy(&bytes[..end]).into_owned();
    Some((path.into(), bytes.get(end + 1..).filter(|rest| !rest.is_empty())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_path_and_what_the_file_is_known_by() {
        assert_eq!(text(b"../c.dwz\0\x01\x02"), Some((PathBuf::from("../c.dwz"), &[1, 2][..])));
        for bad in [&b""[..], b"c.dwz", b"c.dwz\0", b"\0\x01"] {
            assert_eq!(text(bad), None);
        }
        let sup = |bytes: &[u8]| supplement(bytes);
        assert_eq!(sup(b"\x05\0\0c.dwz\0\x02ab"), Some((false, "c.dwz".into(), b"ab".to_vec())));
        assert_eq!(sup(b"\x05\0\x01\0\x02ab"), Some((true, "".into(), b"ab".to_vec())));
        for bad in [&b""[..], b"\x05\0\0", b"\x04\0\0c\0\x01a", b"\x05\0\0c\0\x03ab", b"\x05\0\0c\0"] {
            assert_eq!(sup(bad), None);
        }
    }
}
