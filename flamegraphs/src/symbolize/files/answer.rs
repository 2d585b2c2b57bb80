//! blazesym's answers → names.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use blazesym::symbolize::{Reason, Sym, Symbolized};
use profile::{Code, FrameName, Inlined, NotRead, Source, Unnamed};

use crate::symbolize::elf::NOT_TEXT;
use crate::symbolize::name::readable;

/// What debug info says of an address.
#[derive(Debug)]
pub(in crate::symbolize) struct DebugName<'s> {
    /// The function, not demangled; empty if the debug info does not name it.
    pub(in crate::symbolize) name: Cow<'s, str>,
    /// The line of the function itself.
    pub(in crate::symbolize) source: Option<Line<'s>>,
    /// Functions inlined there, the outermost first.
    pub(in crate::symbolize) inlined: Vec<(Cow<'s, str>, Option<Line<'s>>)>,
    /// What of it is in a file that was not found.
    pub(in crate::symbolize) not_read: Option<NotRead>,
}

/// A line of a source file; 0: not known which.
#[derive(Debug)]
pub(in crate::symbolize) struct Line<'s> {
    pub(in crate::symbolize) path: Cow<'s, str>,
    pub(in crate::symbolize) line: u32,
}

/// Names of `symbols`, in order; texts that occur more than once are shared. `debug` is what debug info says of the same
/// addresses, if there is any; `module` is the file they are in; `stand_in` makes the name of one that has none, by its
/// index.
pub(super) fn names_of(
    symbols: &[Symbolized<'_>],
    debug: &[Option<DebugName<'_>>],
    module: &Arc<str>,
    stand_in: impl Fn(usize, Unnamed) -> FrameName,
) -> Vec<FrameName> {
    let plain = Arc::new(Code { module: Some(Arc::clone(module)), ..Code::default() });
    let mut texts = Texts::default();
    let mut names = Vec::with_capacity(symbols.len());
    for (at, symbol) in symbols.iter().enumerate() {
        let info = debug.get(at).and_then(Option::as_ref);
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
/// The symbol is the linkage name. It has the namespaces that the bare name in small debug info (`-g1`, Rust's
/// `line-tables-only`) lacks, and it distinguishes clones (`foo.part.0`). If it is another C name, debug info has the alias
/// that is written in the source.
fn raw_name<'s>(symbol: Option<&'s Sym<'_>>, debug: Option<&'s DebugName<'_>>) -> Option<&'s str> {
    let symbol = symbol.map(|symbol| &*symbol.name).filter(|name| !name.is_empty());
    let debug = debug.map(|debug| &*debug.name).filter(|name| !name.is_empty());
    match (symbol, debug) {
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
        let text = if name.contains(NOT_TEXT) {
            Arc::from(readable(&name.replace(NOT_TEXT, "\u{fffd}")))
        } else {
            Arc::from(readable(name))
        };
        self.names.insert(name.to_owned(), Arc::clone(&text));
        text
    }

    fn source(&mut self, place: &Line<'_>) -> Source {
        let file = self.files.get(&*place.path).cloned().unwrap_or_else(|| {
            let path = place.path.to_string();
            Arc::clone(self.files.entry(path.clone()).or_insert_with(|| path.into()))
        });
        Source { file, line: place.line }
    }

    fn code(&mut self, info: &DebugName<'_>, module: &Arc<str>) -> Option<Arc<Code>> {
        let source = info.source.as_ref().map(|place| self.source(place));
        let inlined = info.inlined.iter().map(|(name, place)| Inlined {
            text: if name.is_empty() { "[inlined]".into() } else { self.readable(name) },
            source: place.as_ref().map(|place| self.source(place)),
        });
        let inlined: Vec<Inlined> = inlined.collect();
        let not_read = info.not_read;
        let any = source.is_some() || !inlined.is_empty() || not_read.is_some();
        any.then(|| Arc::new(Code { module: Some(Arc::clone(module)), source, inlined, not_read }))
    }
}
