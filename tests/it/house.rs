//! The house of `docs/architecture.md`: imports go down, never up and never round; and the picture there is the one
//! that the code makes. The other program's package has floors of its own.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use syn::visit::{self, Visit};
use syn::{Item, UseTree, Visibility};

/// From the ground: who may import whom. A module's name stands for those inside it that have no line of their own.
const FLOORS: [(&str, &[&str]); 12] = [
    ("ground", &["error", "probe", "secret"]),
    ("words of the field", &["cluster", "temporal"]),
    ("wires", &["juju", "pebble", "postgres", "temporal::health"]),
    ("options and memory", &["config", "memory"]),
    ("relations", &["relations"]),
    ("server files", &["container"]),
    ("what was said", &["snapshot"]),
    ("facts", &["facts"]),
    ("plan and status", &["plan"]),
    ("observe and apply", &["apply", "observe"]),
    ("one hook", &["dispatch", "serves"]),
    ("the program", &["main"]),
];

/// The floors of `temporal-stack`, which is a package of its own inside.
const STACK: [(&str, &[&str]); 12] = [
    ("ground", &["error", "names", "secret"]),
    ("words and wire", &["kubernetes", "settings"]),
    ("what the user wants", &["input"]),
    ("what belongs together", &["component"]),
    ("passwords and keys", &["secrets"]),
    ("what objects share", &["objects"]),
    ("parts", &["parts"]),
    ("the parts joined", &["stack"]),
    ("a page of settings", &["reference"]),
    ("what is done", &["run"]),
    ("who is told", &["cli"]),
    ("the program", &["main"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// The modules by name, such as `plan::gates`, with their files' text.
fn modules(root: &Path) -> BTreeMap<String, syn::File> {
    fn walk(directory: &Path, prefix: &str, found: &mut BTreeMap<String, syn::File>) {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap();
            if path.join("Cargo.toml").exists() {
                // another package
                continue;
            }
            if path.is_dir() {
                walk(&path, &format!("{prefix}{name}::"), found);
                continue;
            }
            let Some(stem) = name.strip_suffix(".rs") else {
                continue;
            };
            let module = match stem {
                "mod" => prefix.trim_end_matches("::").to_owned(),
                "lib" if prefix.is_empty() => continue,
                stem => format!("{prefix}{stem}"),
            };
            let text = std::fs::read_to_string(&path).unwrap();
            found.insert(module, syn::parse_file(&text).unwrap());
        }
    }
    let mut found = BTreeMap::new();
    walk(root, "", &mut found);
    found
}

/// Paths as they are written in a module, and the names that its imports give to paths.
#[derive(Default)]
struct Written {
    paths: Vec<Vec<String>>,
    names: BTreeMap<String, Vec<String>>,
    exports: BTreeMap<String, Vec<String>>,
}

impl Written {
    fn tree(&mut self, tree: &UseTree, before: &[String], public: bool) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident), public),
            UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before, public);
                }
            }
            UseTree::Name(name) if name.ident == "self" => self.name(before.to_vec(), None, public),
            UseTree::Name(name) => self.name(with(&name.ident), None, public),
            UseTree::Rename(rename) => {
                self.name(with(&rename.ident), Some(rename.rename.to_string()), public);
            }
            UseTree::Glob(_) => self.paths.push(before.to_vec()),
        }
    }

    fn name(&mut self, path: Vec<String>, name: Option<String>, public: bool) {
        let name = name.or_else(|| path.last().cloned()).unwrap_or_default();
        if public {
            self.exports.insert(name, path);
        } else {
            self.paths.push(path.clone());
            self.names.insert(name, path);
        }
    }
}

impl<'ast> Visit<'ast> for Written {
    fn visit_item(&mut self, item: &'ast Item) {
        match item {
            // tests may import what they like
            Item::Mod(module) if module.content.is_some() => {}
            Item::Use(import) => {
                let public = matches!(import.vis, Visibility::Public(_));
                self.tree(&import.tree, &[], public);
            }
            _ => visit::visit_item(self, item),
        }
    }

    /// The `super` of `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments = path.segments.iter().map(|it| it.ident.to_string());
        self.paths.push(segments.collect());
        visit::visit_path(self, path);
    }
}

/// Which module imports which others.
fn imports(root: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let modules = modules(root);
    let written: BTreeMap<&String, Written> = modules
        .iter()
        .map(|(name, file)| {
            let mut written = Written::default();
            written.visit_file(file);
            (name, written)
        })
        .collect();
    let resolve = |from: &String, path: &[String]| -> Option<String> {
        let mut path = path.to_vec();
        if let Some(named) = path
            .first()
            .and_then(|first| written[from].names.get(first))
        {
            path = [named.as_slice(), &path[1..]].concat();
        }
        let mut here: Vec<String> = from.split("::").map(str::to_owned).collect();
        let rest = match path.first()?.as_str() {
            "crate" | "temporal_k8s" | "temporal_stack" => {
                here.clear();
                path[1..].to_vec()
            }
            "self" => path[1..].to_vec(),
            "super" => {
                let up = path.iter().take_while(|it| *it == "super").count();
                here.truncate(here.len().checked_sub(up)?);
                path[up..].to_vec()
            }
            first => {
                // a module declared here
                let child = format!("{from}::{first}");
                modules.contains_key(&child).then(|| path.clone())?
            }
        };
        for next in rest {
            here.push(next.clone());
            if modules.contains_key(&here.join("::")) {
                continue;
            }
            here.pop();
            // an item: of this module, or handed on from one inside it
            let exported = written.get(&here.join("::"))?.exports.get(&next);
            let inner = exported.into_iter().flatten();
            for segment in inner.filter(|it| *it != "self" && *it != "super") {
                here.push(segment.clone());
                if !modules.contains_key(&here.join("::")) {
                    here.pop();
                    break;
                }
            }
            break;
        }
        let found = here.join("::");
        (modules.contains_key(&found) && found != *from).then_some(found)
    };
    written
        .iter()
        .map(|(name, written)| {
            let paths = written.paths.iter().filter_map(|path| resolve(name, path));
            ((*name).clone(), paths.collect())
        })
        .collect()
}

/// The floor of a module, and the room that stands for it there.
fn floor(floors: &[(&str, &'static [&'static str])], module: &str) -> (usize, &'static str) {
    let stands_for = |room: &str| {
        module == room
            || module
                .strip_prefix(room)
                .is_some_and(|rest| rest.starts_with("::"))
    };
    let rooms = floors
        .iter()
        .enumerate()
        .flat_map(|(floor, (_, rooms))| rooms.iter().map(move |room| (floor, *room)));
    rooms
        .filter(|(_, room)| stands_for(room))
        .max_by_key(|(_, room)| room.len())
        .unwrap_or_else(|| panic!("`{module}` is on no floor of the house: give it one"))
}

/// The picture: rooms by floor, and who imports whom.
fn picture() -> String {
    let mut edges = BTreeSet::new();
    for (from, imports) in imports(&root()) {
        for to in imports {
            let (from, to) = (floor(&FLOORS, &from).1, floor(&FLOORS, &to).1);
            if from != to {
                edges.insert((from.replace("::", "."), to.replace("::", ".")));
            }
        }
    }
    let mut text = "flowchart TD\n".to_owned();
    for (number, (name, rooms)) in FLOORS.iter().enumerate().rev() {
        writeln!(text, "  subgraph f{number} [{name}]").unwrap();
        for room in *rooms {
            writeln!(text, "    {}", room.replace("::", ".")).unwrap();
        }
        text.push_str("  end\n");
    }
    for (from, to) in edges {
        writeln!(text, "  {from} --> {to}").unwrap();
    }
    text
}

/// Imports that go up, or to another room of the same floor.
fn wrong(root: &Path, floors: &[(&str, &'static [&'static str])]) -> Vec<String> {
    let imports = imports(root);
    assert!(
        imports.values().map(BTreeSet::len).max() > Some(5),
        "the reader of imports reads nothing: {imports:?}"
    );
    let pairs = imports
        .iter()
        .flat_map(|(from, all)| all.iter().map(move |to| (from, to)));
    pairs
        .filter(|(from, to)| {
            let (above, below) = (floor(floors, from), floor(floors, to));
            above.0 < below.0 || (above.0 == below.0 && above.1 != below.1)
        })
        .map(|(from, to)| format!("{from} imports {to}"))
        .collect()
}

#[test]
fn every_import_goes_down() {
    let wrong = wrong(&root(), &FLOORS);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_import_of_the_other_program_goes_down() {
    let wrong = wrong(&root().join("stack"), &STACK);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn no_import_goes_round() {
    let imports = imports(&root());
    // takes away whoever imports nothing that is left, until nobody is; who stays goes round
    let mut left = imports.clone();
    loop {
        let before = left.len();
        let names: BTreeSet<String> = left.keys().cloned().collect();
        left.retain(|_, to| to.iter().any(|it| names.contains(it)));
        if left.len() == before {
            break;
        }
    }
    // those who only lead to a circle are not in it
    loop {
        let before = left.len();
        let reached: BTreeSet<String> = left.values().flatten().cloned().collect();
        left.retain(|from, _| reached.contains(from));
        if left.len() == before {
            break;
        }
    }
    let circle: Vec<String> = left
        .iter()
        .map(|(from, to)| format!("{from} → {to:?}"))
        .collect();
    assert!(circle.is_empty(), "these go round:\n{}", circle.join("\n"));
}

#[test]
fn the_picture_in_the_docs_is_the_codes() {
    let path = root().with_file_name("docs").join("architecture.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once("```mermaid\n").expect("a picture");
    let (shown, after) = rest.split_once("```").expect("its end");
    let picture = picture();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let text = format!("{before}```mermaid\n{picture}```{after}");
        std::fs::write(path, text).unwrap();
        return;
    }
    assert_eq!(
        shown, picture,
        "the picture is not the code's any more: UPDATE_DOCS=1 cargo test --test it house"
    );
}

/// What turns texts into values, or values into texts, is called at one place of the code, and that place runs once in
/// a hook: the line of `dispatch`.
#[test]
fn everything_is_parsed_and_rendered_once() {
    let mut calls: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (module, file) in modules(&root()) {
        let mut written = Written::default();
        written.visit_file(&file);
        for path in written.paths {
            calls
                .entry(path.join("::"))
                .or_default()
                .push(module.clone());
        }
    }
    let mut at = |path: &str| calls.remove(path).unwrap_or_default();
    for (path, place) in [
        ("config::parse", "facts"),
        ("relations::hear", "facts"),
        ("container::config::render", "facts"),
        ("container::layer::service", "facts"),
        ("admin::parse", "relations"),
        ("ingress::parse", "relations"),
        ("database::offers", "relations"),
        ("Facts::of", "dispatch"),
        ("observe::snapshot", "dispatch"),
    ] {
        assert_eq!(at(path), [place], "{path}");
    }
}
