use std::fs;
use std::path::Path;

use super::*;

/// A crate `agent` of these files, below `agent/src`.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = tree.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    tree
}

fn imports(files: &[(&str, &str)]) -> Vec<Import> {
    let tree = tree(files);
    let (first, _) = files[0];
    read::imports(tree.path(), Path::new(first)).unwrap()
}

#[test]
fn this_tree_keeps_its_layers() {
    check(&shell::root()).unwrap();
}

#[test]
fn an_import_that_runs_the_wrong_way_is_named() {
    let imports = imports(&[
        ("agent/src/lib.rs", "mod text;\nmod cli;\n"),
        ("agent/src/text.rs", "fn say() { super::cli::print(crate::cli::WIDTH); }\n"),
        ("agent/src/cli.rs", "use crate::text;\n"),
    ]);
    let wrong = against("agent", &["text", "cli"], &imports);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("agent/src/text.rs: `crate::cli::"), "{wrong:?}");
    assert!(wrong[0].contains("text lies below cli"), "{wrong:?}");
    assert_eq!(against("agent", &["cli", "text"], &imports).len(), 1, "and the other way round");
}

#[test]
fn a_circle_is_found_however_long_and_however_it_is_written() {
    let files = [
        ("agent/src/lib.rs", "mod a;\nmod b;\nmod c;\nmod d;\npub use c::Thing;\n"),
        ("agent/src/a.rs", "use crate::{b, d::*};\n"),
        ("agent/src/b/mod.rs", "mod deep;\n"),
        ("agent/src/b/deep.rs", "fn f() -> Vec<crate::Thing> { format!(\"{}\", crate::d::X); vec![] }\n"),
        ("agent/src/c.rs", "mod x { use super::super::a::Y; }\npub struct Thing;\n"),
        ("agent/src/d.rs", "pub const X: u8 = 1;\n"),
    ];
    let found = imports(&files);
    let pairs: Vec<_> = circles(&found).into_iter().map(|(pair, _)| pair).collect();
    assert_eq!(pairs, [("a", "b"), ("b", "c"), ("c", "a")]);
    assert_eq!(circular("agent", &found).len(), 3);
    let mut straight = files;
    straight[4].1 = "pub struct Thing;\n";
    assert_eq!(circles(&imports(&straight)), []);
}

#[test]
fn tests_and_comments_import_what_they_like() {
    let imports = imports(&[
        ("agent/src/lib.rs", "mod text;\nmod cli;\n"),
        (
            "agent/src/text.rs",
            "//! Used by [`crate::cli`].\n#[cfg(test)]\nmod tests { use crate::cli::X; }\n\
             #[cfg(test)]\nfn f() { crate::cli::g() }\n#[cfg(any(test, feature = \"testing\"))]\npub mod testing;\n",
        ),
        ("agent/src/cli.rs", "// crate::text is below\n"),
    ]);
    assert_eq!(against("agent", &["text", "cli"], &imports), [""; 0]);
}

#[test]
fn a_module_without_a_layer_and_a_layer_without_a_module_are_named() {
    let imports = imports(&[
        ("agent/src/lib.rs", "mod a;\nmod b;\n"),
        ("agent/src/a.rs", ""),
        ("agent/src/b.rs", "use crate::a;\n"),
    ]);
    assert_eq!(against("agent", &["a"], &imports).len(), 1);
    assert_eq!(against("agent", &["a", "b", "gone"], &imports), ["agent::gone has a layer and is not there"]);
}

#[test]
fn a_library_has_one_place() {
    let imports = imports(&[
        ("agent/src/lib.rs", "mod bpf;\nmod source;\n"),
        ("agent/src/bpf/mod.rs", "use aya::Ebpf;\n"),
        ("agent/src/source.rs", "fn f(map: &aya::maps::Map) {}\nmod aya_like {}\n"),
    ]);
    let wrong = named_elsewhere(&imports);
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    assert!(wrong[0].starts_with("agent/src/source.rs: `aya::maps::Map`"), "{wrong:?}");
}

#[test]
fn pure_places_have_no_clock_and_no_files() {
    let files = |text| [("diagnosis/src/lib.rs", text)];
    for text in [
        "use std::fs;",
        "fn f() { std::time::Instant::now(); }",
        "use std::time::{Duration, SystemTime};",
        "fn f() { println!(\"{:?}\", std::env::args()); }",
        "use std::net::{IpAddr, TcpStream};",
    ] {
        assert_eq!(impure(&imports(&files(text))).len(), 1, "{text}");
    }
    let pure = "use std::net::IpAddr;\nuse std::time::Duration;\n#[cfg(test)]\nmod tests { use std::fs; }\n";
    assert_eq!(impure(&imports(&files(pure))), [""; 0]);
    assert_eq!(impure(&imports(&[("agent/src/lib.rs", "use std::fs;")])), [""; 0], "not a pure place");
}

#[test]
fn what_a_package_must_not_reach_it_does_not_reach_through_others_either() {
    let package = |name: &str, on: &[&str]| Package {
        name: name.to_owned(),
        roots: Vec::new(),
        depends: on.iter().map(ToString::to_string).collect(),
    };
    let straight =
        [package("server", &["link"]), package("link", &["agent-common"]), package("agent", &["link"])];
    assert_eq!(dependencies(&straight), [""; 0]);
    let roundabout = [package("server", &["link"]), package("link", &["agent"]), package("agent", &[])];
    assert_eq!(dependencies(&roundabout), ["package server depends on agent, which it must not"]);
}
