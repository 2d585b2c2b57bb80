//! blazesym's answers → names.

use std::collections::HashMap;
use std::sync::Arc;

use blazesym::symbolize::{CodeInfo, Reason, Sym, Symbolized};

use crate::coverage::Unnamed;
use crate::frame::Source;
use crate::names::{Code, FrameName, Inlined};
use crate::symbolize::name::readable;

/// Names of `symbols`, in order; texts that occur more than once are shared. `debug` is what debug info says of the same
/// addresses, if there is any; `module` is the file they are in; `stand_in` makes the name of one that has none, by its
/// index.
pub(super) fn names_of(
    symbols: &[Symbolized<'_>],
    debug: &[Symbolized<'_>],
    module: &Arc<str>,
    stand_in: impl Fn(usize, Unnamed) -> FrameName,
) -> Vec<FrameName> {
    let plain = Arc::new(Code { module: Some(Arc::clone(module)), ..Code::default() });
    let mut texts = Texts::default();
    let mut names = Vec::with_capacity(symbols.len());
    for (at, symbol) in symbols.iter().enumerate() {
        let info = debug.get(at).and_then(Symbolized::as_sym);
        let Some(raw) = raw_name(symbol.as_sym(), info) else {
            let failed = matches!(symbol, Symbolized::Unknown(Reason::IgnoredError));
            let reason = if failed { Unnamed::Failed } else { Unnamed::Stripped };
            names.push(FrameName { code: Some(Arc::clone(&plain)), ..stand_in(at, reason) });
            continue;
        };
        let text = texts.readable(raw);
        let code = info.and_then(|info| texts.code(info, module)).unwrap_or_else(|| Arc::clone(&plain));
        names.push(FrameName { code: Some(code), ..FrameName::named(text) });
    }
    names
}

/// What the symbol table and debug info call a function, not demangled.
///
/// The symbol is the linkage name, which has what the bare name in small debug info (`-g1`, Rust's
/// `line-tables-only`) lacks: namespaces; and it tells clones (`foo.part.0`) apart. Where it is another C name, debug
/// info knows which alias is the one written in the source.
fn raw_name<'s>(symbol: Option<&'s Sym<'_>>, debug: Option<&'s Sym<'_>>) -> Option<&'s str> {
    let name = |sym: Option<&'s Sym<'_>>| sym.map(|sym| &*sym.name).filter(|name| !name.is_empty());
    match (name(symbol), name(debug)) {
        (Some(symbol), Some(debug)) => {
            let clone = symbol.strip_prefix(debug).is_some_and(|rest| rest.starts_with('.'));
            let mangled = symbol.starts_with("_Z") || symbol.starts_with("_R");
            Some(if clone || mangled { symbol } else { debug })
        }
        (symbol, debug) => symbol.or(debug),
    }
}

/// Texts, each once; of names the readable one, since demangling is what costs.
#[derive(Default)]
struct Texts {
    names: HashMap<String, Arc<str>>,
    files: HashMap<String, Arc<str>>,
}

impl Texts {
    fn readable(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        let text = Arc::<str>::from(readable(name));
        self.names.insert(name.to_owned(), Arc::clone(&text));
        text
    }

    fn source(&mut self, info: &CodeInfo<'_>) -> Source {
        let path = info.to_path().to_string_lossy().into_owned();
        let file = match self.files.get(&path) {
            Some(known) => Arc::clone(known),
            None => Arc::clone(self.files.entry(path.clone()).or_insert_with(|| path.into())),
        };
        Source { file, line: info.line.unwrap_or(0) }
    }

    fn code(&mut self, info: &Sym<'_>, module: &Arc<str>) -> Option<Arc<Code>> {
        let source = info.code_info.as_deref().map(|info| self.source(info));
        let inlined = info.inlined.iter().map(|one| Inlined {
            text: if one.name.is_empty() { "[inlined]".into() } else { self.readable(&one.name) },
            source: one.code_info.as_ref().map(|info| self.source(info)),
        });
        let inlined: Vec<Inlined> = inlined.collect();
        let any = source.is_some() || !inlined.is_empty();
        any.then(|| Arc::new(Code { module: Some(Arc::clone(module)), source, inlined }))
    }
}
