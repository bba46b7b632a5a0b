//! Finds out which module uses which, from the sources: `use` trees, paths in code,
//! `super::super::`. Unit tests (`#[cfg(test)]`) and comments do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// All Rust files below `folder`, with their text.
pub(crate) fn sources(folder: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            found.push((path.clone(), fs::read_to_string(&path).expect("text")));
        }
    }
    found
}

/// The path of a module, such as `["engine", "log", "stage"]`.
type Module = Vec<String>;

/// The imports among the modules below one folder of `src`.
pub(crate) struct Imports {
    arrows: BTreeMap<Module, BTreeSet<Module>>,
}

impl Imports {
    /// The imports among the modules below `src/TOP`.
    pub(crate) fn below(top: &str) -> Self {
        let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let texts: BTreeMap<Module, String> = sources(&src.join(top))
            .into_iter()
            .filter(|(path, _)| !path.ends_with("tests.rs"))
            .map(|(path, text)| (module_of(path.strip_prefix(&src).expect("is below the folder")), text))
            .collect();
        let known: BTreeSet<Module> = texts.keys().cloned().collect();
        let arrows = texts.iter().map(|(module, text)| (module.clone(), used(text, module, &known)));
        Self { arrows: arrows.collect() }
    }

    /// The imports that cross from one wing to another, with the modules at both ends.
    pub(crate) fn between_wings(&self) -> Vec<(&str, &str, String)> {
        let mut found = Vec::new();
        for (from, targets) in &self.arrows {
            for to in targets {
                if let ([_, wing, ..], [_, other, ..]) = (&from[..], &to[..])
                    && wing != other
                {
                    found.push((&**wing, &**other, format!("{} uses {}", from.join("::"), to.join("::"))));
                }
            }
        }
        found
    }

    /// The wings, which are the modules directly below the top.
    pub(crate) fn wings(&self) -> BTreeSet<&str> {
        self.arrows.keys().filter_map(|module| module.get(1)).map(|name| &**name).collect()
    }

    /// The import circles, each as a sorted list of modules.
    pub(crate) fn circles(&self) -> Vec<Vec<String>> {
        let reached: BTreeMap<_, _> =
            self.arrows.keys().map(|module| (module, self.reached_from(module))).collect();
        let mut found = BTreeSet::new();
        for (module, others) in &reached {
            let circle: Vec<_> = others.iter().filter(|&other| reached[other].contains(*module)).collect();
            if !circle.is_empty() {
                found.insert(circle.into_iter().map(|module| module[1..].join("::")).collect());
            }
        }
        found.into_iter().collect()
    }

    fn reached_from(&self, start: &Module) -> BTreeSet<Module> {
        let mut reached = BTreeSet::new();
        let mut next = vec![start];
        while let Some(module) = next.pop() {
            next.extend(self.arrows[module].iter().filter(|&to| reached.insert(to.clone())));
        }
        reached
    }
}

/// The module in the file `path` below `src`.
fn module_of(path: &Path) -> Module {
    let names = path.with_extension("");
    let names = names.iter().map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "mod").collect()
}

/// The modules of `known` that `text` uses. `text` is the file of module `own`.
fn used(text: &str, own: &Module, known: &BTreeSet<Module>) -> BTreeSet<Module> {
    let mut found = BTreeSet::new();
    for (inner, code) in code(text) {
        let place = [own.clone(), inner].concat();
        for path in paths(&code) {
            if let Some(module) = resolve(&path, &place, known).filter(|module| module != own) {
                found.insert(module);
            }
        }
    }
    found
}

/// The module of `known` that `path` names when it stands in `place`.
fn resolve(path: &[String], place: &Module, known: &BTreeSet<Module>) -> Option<Module> {
    let ups = path.iter().take_while(|&name| name == "super").count();
    let target = match path.first().map(String::as_str) {
        Some("crate") => path[1..].to_vec(),
        Some("self") => [place, &path[1..]].concat(),
        Some("super") => [&place[..place.len().checked_sub(ups)?], &path[ups..]].concat(),
        _ => {
            let child = [place, &path[..1]].concat();
            (path.len() > 1 && known.contains(&child)).then(|| [place, path].concat())?
        }
    };
    (1..=target.len()).rev().map(|len| target[..len].to_vec()).find(|module| known.contains(module))
}

/// The statements of `text` without comments and tests, each with the inline modules around it.
fn code(text: &str) -> Vec<(Module, String)> {
    let mut found: Vec<(Module, String)> = Vec::new();
    let mut inner: Vec<(usize, String)> = Vec::new();
    let mut skipped: Option<usize> = None;
    for line in text.lines() {
        let code = line.split("//").next().expect("a part before the comment");
        let indent = code.len() - code.trim_start().len();
        let code = code.trim();
        if code == "#[cfg(test)]" {
            skipped = skipped.or(Some(indent));
        } else if let Some(start) = skipped {
            if indent == start && (code.starts_with('}') || code.ends_with(';')) {
                skipped = None;
            }
        } else if let Some(name) = code.strip_suffix(" {").and_then(|code| code.split("mod ").nth(1)) {
            inner.push((indent, name.to_owned()));
        } else if code == "}" && inner.last().is_some_and(|(start, _)| *start == indent) {
            inner.pop();
        } else {
            let place: Module = inner.iter().map(|(_, name)| name.clone()).collect();
            match found.last_mut().filter(|(last, _)| *last == place) {
                Some((_, statements)) => *statements += &format!(" {code}"),
                None => found.push((place, code.to_owned())),
            }
        }
    }
    found
}

/// All paths in `code`, with `use` trees expanded.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(|c: char| c.is_alphanumeric() || c == '_') {
        let end = start + name_len(&rest[start..]);
        let before = code[..code.len() - rest.len() + start].trim_end();
        let begins =
            before.is_empty() || before.ends_with([';', '{', '}', ']', ')']) || before.ends_with("pub");
        rest = if begins && &rest[start..end] == "use" {
            let end = rest[end..].find(';').map_or(rest.len(), |len| end + len);
            tree(&rest[start + 3..end].replace(' ', ""), &[], &mut found);
            &rest[end..]
        } else {
            let mut path = vec![rest[start..end].to_owned()];
            let mut end = end;
            while let Some(next) = rest[end..].strip_prefix("::").filter(|next| name_len(next) > 0) {
                path.push(next[..name_len(next)].to_owned());
                end += 2 + name_len(next);
            }
            if path.len() > 1 {
                found.push(path);
            }
            &rest[end..]
        };
    }
    found
}

/// Adds the paths of the `use` tree `text`, each behind `prefix`, to `found`.
fn tree(text: &str, prefix: &[String], found: &mut Vec<Vec<String>>) {
    match text.split_once('{') {
        Some((start, group)) if !start.contains(',') => {
            let prefix = [prefix, &names(start)].concat();
            for part in parts(group.strip_suffix('}').expect("a closed group")) {
                tree(part, &prefix, found);
            }
        }
        _ => found.push([prefix, &names(text)].concat()),
    }
}

fn names(path: &str) -> Vec<String> {
    path.split("::").filter(|name| !name.is_empty() && *name != "*").map(str::to_owned).collect()
}

/// Splits a group at its top-level commas.
fn parts(group: &str) -> Vec<&str> {
    let mut depth = 0;
    let outer = move |c: char| {
        depth += i32::from(c == '{') - i32::from(c == '}');
        c == ',' && depth == 0
    };
    group.split(outer).filter(|part| !part.is_empty()).collect()
}

fn name_len(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}

#[test]
fn grouped_and_relative_paths_resolve_as_in_the_compiler() {
    let known: BTreeSet<Module> = ["a", "a::b", "a::b::c", "a::d", "a::e"]
        .map(|path| path.split("::").map(str::to_owned).collect())
        .into_iter()
        .collect();
    let text = "use super::{d::{self, X},\n    e::Y as Z};\nuse std::a::b;\n";
    let used = |text: &str, own: &str| -> Vec<String> {
        let own = own.split("::").map(str::to_owned).collect();
        used(text, &own, &known).into_iter().map(|module| module.join("::")).collect()
    };
    assert_eq!(used(text, "a::b"), ["a::d", "a::e"]);
    assert_eq!(
        used("fn f() { crate::a::d::g(super::super::e::Y); c::h() } // crate::a", "a::b::c"),
        ["a::d", "a::e"]
    );
    assert_eq!(used("pub use c::X;", "a::b"), ["a::b::c"]);
    assert_eq!(
        used("mod inner {\n    use super::super::d::X;\n}\nuse crate::a::e;", "a::b"),
        ["a::d", "a::e"]
    );
    assert_eq!(used("f(\"may use {\"); use crate::a::e;", "a::b"), ["a::e"]);
    let tests = "#[cfg(test)]\nmod tests {\n    use crate::a::d::X;\n}\n";
    assert_eq!(used(&format!("{tests}use self::c::X;"), "a::b"), ["a::b::c"]);
}
