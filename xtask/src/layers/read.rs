//! The imports of a crate's sources. Follows `mod` declarations from the root file; what is compiled for tests alone is left
//! out, and so are comments.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, UseTree};

/// One path that a source file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Import {
    /// The file, relative to the root of the tree.
    pub(super) file: PathBuf,
    /// The top-level module it is in; `None` in the crate's root file.
    pub(super) module: Option<String>,
    /// The path as it is written; `crate` and `super` worked out.
    pub(super) path: Vec<String>,
    /// The top-level module of the same crate that it leads to.
    pub(super) imports: Option<String>,
}

impl fmt::Display for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: `{}`", self.file.display(), self.path.join("::"))
    }
}

/// All paths named by the crate whose root file this is.
pub(super) fn imports(root: &Path, file: &Path) -> Result<Vec<Import>> {
    let mut tree = Tree { root, imports: Vec::new() };
    tree.file(file, &mut Vec::new(), file.parent().unwrap_or(Path::new("")))?;
    let mut imports = tree.imports;
    let modules: Vec<String> = imports.iter().filter_map(|import| import.module.clone()).collect();
    // `pub use a::B` in the root file makes `crate::B` an import of `a`.
    let mut reexports: BTreeMap<String, String> = BTreeMap::new();
    for import in imports.iter().filter(|import| import.module.is_none()) {
        let path = if import.path[0] == "crate" { &import.path[1..] } else { &import.path[..] };
        if let [module, .., item] = path
            && modules.contains(module)
        {
            reexports.insert(item.clone(), module.clone());
        }
    }
    for import in &mut imports {
        if import.path[0] == "crate"
            && let Some(first) = import.path.get(1)
        {
            import.imports =
                if modules.contains(first) { Some(first.clone()) } else { reexports.get(first).cloned() };
        }
    }
    Ok(imports)
}

struct Tree<'a> {
    root: &'a Path,
    imports: Vec<Import>,
}

impl Tree<'_> {
    /// Reads a file that is the module `at`; its submodules lie in `directory`.
    fn file(&mut self, file: &Path, at: &mut Vec<String>, directory: &Path) -> Result<()> {
        let text = fs::read_to_string(self.root.join(file))
            .with_context(|| format!("cannot read {}", file.display()))?;
        let parsed = syn::parse_file(&text).with_context(|| format!("cannot parse {}", file.display()))?;
        let mut reader =
            Reader { depth: at.len(), at: at.clone(), paths: Vec::new(), submodules: Vec::new() };
        reader.visit_file(&parsed);
        // A module that names nothing is there all the same.
        reader.paths.push((at.clone(), vec!["self".to_owned()]));
        for (module, path) in reader.paths {
            self.imports.push(Import {
                file: file.to_owned(),
                module: module.first().cloned(),
                path,
                imports: None,
            });
        }
        for name in reader.submodules {
            let candidates = [directory.join(format!("{name}.rs")), directory.join(&name).join("mod.rs")];
            let Some(found) = candidates.iter().find(|path| self.root.join(path).exists()) else {
                bail!("{}: no file of module {name}", file.display());
            };
            at.push(name.clone());
            self.file(found, at, &directory.join(&name))?;
            at.pop();
        }
        Ok(())
    }
}

struct Reader {
    /// How deep the file's own module is.
    depth: usize,
    /// The module that is being read.
    at: Vec<String>,
    paths: Vec<(Vec<String>, Vec<String>)>,
    submodules: Vec<String>,
}

impl Reader {
    /// Keeps a path, `super` and `self` worked out.
    fn keep(&mut self, path: &[String]) {
        let Some(first) = path.first() else { return };
        let mut at = self.at.clone();
        let rest = match first.as_str() {
            "super" => {
                let ups = path.iter().take_while(|word| *word == "super").count();
                at.truncate(at.len().saturating_sub(ups));
                &path[ups..]
            }
            "self" => &path[1..],
            _ => {
                self.paths.push((self.at.clone(), path.to_vec()));
                return;
            }
        };
        let whole = std::iter::once("crate".to_owned()).chain(at).chain(rest.iter().cloned());
        self.paths.push((self.at.clone(), whole.collect()));
    }

    fn use_tree(&mut self, tree: &UseTree, path: &mut Vec<String>) {
        match tree {
            UseTree::Path(one) => {
                path.push(one.ident.to_string());
                self.use_tree(&one.tree, path);
                path.pop();
            }
            UseTree::Name(one) => {
                path.push(one.ident.to_string());
                self.keep(path);
                path.pop();
            }
            UseTree::Rename(one) => {
                path.push(one.ident.to_string());
                self.keep(path);
                path.pop();
            }
            UseTree::Glob(_) => self.keep(path),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(tree, path)),
        }
    }

    /// Paths in the tokens of a macro call, which have no structure yet.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if colons != 2 {
                        self.end(&mut path);
                    }
                    path.push(ident.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => colons += 1,
                TokenTree::Group(group) => {
                    self.end(&mut path);
                    self.tokens(group.stream());
                    colons = 0;
                }
                _ => {
                    self.end(&mut path);
                    colons = 0;
                }
            }
        }
        self.end(&mut path);
    }

    fn end(&mut self, path: &mut Vec<String>) {
        let path = std::mem::take(path);
        if path.len() > 1 {
            self.keep(&path);
        }
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast Item) {
        if !attributes(item).iter().any(is_for_tests) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        let name = module.ident.to_string();
        if module.content.is_none() {
            // One declared inside an inline module lies elsewhere; there is none.
            if self.at.len() == self.depth {
                self.submodules.push(name);
            }
            return;
        }
        self.at.push(name);
        visit::visit_item_mod(self, module);
        self.at.pop();
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.use_tree(&item.tree, &mut Vec::new());
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        if words.len() > 1 {
            self.keep(&words);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }
}

fn is_for_tests(attribute: &Attribute) -> bool {
    if !attribute.path().is_ident("cfg") {
        return false;
    }
    let condition = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
    condition == "test" || condition.starts_with("any (test ,") || condition.starts_with("any(test,")
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
