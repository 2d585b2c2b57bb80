//! Rule files: patterns of paths to files and their texts.

use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use agent_common::settings::server::RuleFile;

/// Largest rule file.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most bytes of all of them: they travel to the process that evaluates them in one message.
const MAX_BYTES: usize = 8 << 20;
/// Most files.
const MAX_FILES: usize = 500;

/// The files that patterns name, each once, in the order of the patterns and of their names. A path without a wildcard must be
/// there; a pattern may match none. Wildcards (`*`, `?`) stand in the last part of a path alone.
pub fn rule_files(patterns: &[PathBuf]) -> io::Result<Vec<RuleFile>> {
    let mut files: Vec<RuleFile> = Vec::new();
    let mut bytes = 0;
    for path in patterns
        .iter()
        .map(|pattern| matching(pattern))
        .collect::<io::Result<Vec<_>>>()?
        .into_iter()
        .flatten()
    {
        if files.iter().any(|file| file.path == path) {
            continue;
        }
        let file = read(&path).map_err(|error| named(&path, &error))?;
        bytes += file.text.len();
        if bytes > MAX_BYTES || files.len() >= MAX_FILES {
            let all =
                format!("the rule files have more than {MAX_BYTES} bytes, or are more than {MAX_FILES}");
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, all));
        }
        files.push(file);
    }
    Ok(files)
}

fn named(path: &Path, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

fn read(path: &Path) -> io::Result<RuleFile> {
    let mut text = String::new();
    let read = std::fs::File::open(path)?.take(MAX_FILE_BYTES + 1).read_to_string(&mut text)?;
    if read as u64 > MAX_FILE_BYTES {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB; split it"));
    }
    Ok(RuleFile { path: path.to_owned(), text })
}

/// The paths that a pattern matches, by name.
fn matching(pattern: &Path) -> io::Result<Vec<PathBuf>> {
    let name = pattern.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !name.contains(['*', '?']) {
        return Ok(vec![pattern.to_owned()]);
    }
    let dir = pattern.parent().unwrap_or(Path::new("/"));
    let entries = match std::fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(named(dir, &error)),
    };
    let mut paths = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| named(dir, &error))?;
        let own = entry.file_name().to_string_lossy().into_owned();
        if !own.starts_with('.') && fits(&name, &own) && entry.path().is_file() {
            paths.push(entry.path());
        }
    }
    paths.sort();
    Ok(paths)
}

/// Whether a name fits a pattern: `*` stands for any characters, `?` for one.
fn fits(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    // Where the last star stood, and how much of the name it has taken.
    let (mut at, mut seen, mut star) = (0, 0, None);
    while seen < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, seen));
                at += 1;
            }
            Some(c) if *c == '?' || *c == name[seen] => (at, seen) = (at + 1, seen + 1),
            _ => match &mut star {
                Some((begin, taken)) => {
                    *taken += 1;
                    (at, seen) = (*begin + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_and_question_marks_stand_for_characters() {
        for (pattern, name, is_so) in [
            ("*.yml", "a.yml", true),
            ("*.yml", "a.yaml", false),
            ("a*b*c", "axxbxbc", true),
            ("a*b*c", "axxbxb", false),
            ("?.yml", "a.yml", true),
            ("?.yml", ".yml", false),
            ("*", "anything", true),
            ("a**", "a", true),
        ] {
            assert_eq!(fits(pattern, name), is_so, "{pattern} {name}");
        }
    }

    #[test]
    fn files_come_by_name_and_each_once() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["b.yml", "a.yml", ".hidden.yml", "c.txt"] {
            std::fs::write(dir.path().join(name), name).unwrap();
        }
        std::fs::create_dir(dir.path().join("d.yml")).unwrap();
        let read = |names: &[&str]| {
            let patterns: Vec<PathBuf> = names.iter().map(|name| dir.path().join(name)).collect();
            rule_files(&patterns)
                .map(|files| files.into_iter().map(|file| file.text).collect::<Vec<_>>())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(&["b.yml", "*.yml"]).unwrap(), ["b.yml", "a.yml"]);
        assert!(read(&["*.none", "nowhere/*.yml"]).unwrap().is_empty());
        let error = read(&["missing.yml"]).unwrap_err();
        assert!(error.contains("missing.yml: "), "{error}");
        std::fs::write(dir.path().join("huge.yml"), vec![b' '; (1 << 20) + 1]).unwrap();
        assert!(read(&["huge.yml"]).unwrap_err().contains("1 MiB"));
    }
}
