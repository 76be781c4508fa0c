//! Copies the sources of `amends`, and makes the edits of `bugs/` in the copy.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "cargo reads both")]

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    process::ExitCode,
};

/// The tables of bugs, in the order in which their bugs are told.
const TABLES: [&str; 5] = ["machine", "turn", "ids", "barrier", "orchestrator"];

/// What the edits write for the question whether their bug is planted.
const PLANTED: &str = "PLANTED";

/// The copy: what is in each file, by its path below `sagas/src`.
type Sources = BTreeMap<String, String>;

/// One place that a bug changes.
struct Edit {
    bug: String,
    file: String,
    /// The lines that stand there, whatever their indentation.
    old: Vec<String>,
    new: Vec<String>,
}

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), String> {
    let top = folder("CARGO_MANIFEST_DIR")?;
    let (sagas, out) = (top.join("../../sagas/src"), folder("OUT_DIR")?);
    let mut sources = Sources::new();
    read_all(&sagas, &sagas, &mut sources)?;
    println!("cargo:rerun-if-changed={}", sagas.display());
    println!("cargo:rerun-if-changed={}", top.join("bugs").display());
    let mut bugs = Vec::new();
    for table in TABLES {
        let path = top.join("bugs").join(table).with_extension("txt");
        for edit in edits(&read(&path)?).map_err(|error| format!("{}: {error}", path.display()))? {
            make(&edit, &mut sources)?;
            if bugs.last() != Some(&edit.bug) {
                bugs.push(edit.bug);
            }
        }
    }
    write(&out.join("bugs.rs"), &format!("bugs! {{ {} }}", bugs.join(", ")))?;
    write_all(&out.join("amends"), &sources)
}

/// Writes the copy anew. Its own tests do not run here.
fn write_all(copy: &Path, sources: &Sources) -> Result<(), String> {
    if copy.exists() {
        fs::remove_dir_all(copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    }
    for (name, text) in sources {
        // The file that is included has no inner documentation: it is no module by itself.
        let inner = |line: &&str| name != "lib.rs" || !line.starts_with("//!");
        let lines = text.lines().filter(|line| line.trim() != "#[test]").filter(inner);
        write(&copy.join(name), &lines.flat_map(|line| [line, "\n"]).collect::<String>())?;
    }
    Ok(())
}

/// Reads a table: `bug` and its name, `in` and a file, and the lines there as in a patch.
fn edits(table: &str) -> Result<Vec<Edit>, String> {
    let (mut edits, mut bug, mut open) = (Vec::<Edit>::new(), None, false);
    for (at, line) in table.lines().enumerate() {
        let wrong = |what: &str| Err(format!("line {}: {what}: {line}", at + 1));
        if line.starts_with('#') || line.trim().is_empty() {
            open = false;
        } else if let Some(name) = line.strip_prefix("bug ") {
            (bug, open) = (Some(name.to_owned()), false);
        } else if let Some(file) = line.strip_prefix("in ") {
            let Some(bug) = bug.clone() else { return wrong("there is no `bug` before it") };
            let (file, old, new) = (file.to_owned(), Vec::new(), Vec::new());
            edits.push(Edit { bug, file, old, new });
            open = true;
        } else {
            let Some(edit) = edits.last_mut().filter(|_| open) else {
                return wrong("there is no `in` before it");
            };
            let (sign, text) = line.split_at(1);
            match sign {
                "-" => edit.old.push(text.trim().to_owned()),
                "+" => edit.new.push(text.to_owned()),
                " " => {
                    edit.old.push(text.trim().to_owned());
                    edit.new.push(text.to_owned());
                }
                _ => return wrong("a line of an edit begins with `-`, `+` or a space"),
            }
        }
    }
    Ok(edits)
}

fn make(edit: &Edit, sources: &mut Sources) -> Result<(), String> {
    let Edit { bug, file, old, new } = edit;
    let Some(text) = sources.get_mut(file) else {
        return Err(format!("the bug {bug} is to be planted in {file}, and there is no such file"));
    };
    let lines: Vec<_> = text.lines().collect();
    let here = |part: &&[&str]| part.iter().map(|line| line.trim()).eq(old.iter());
    let parts = lines.windows(old.len().max(1));
    let found: Vec<_> =
        parts.enumerate().filter(|(_, part)| here(part)).map(|(at, _)| at).collect();
    let [at] = found[..] else {
        return Err(format!(
            "the bug {bug} is to be planted in {file}, but these lines stand there {} times instead \
             of once:\n{}",
            found.len(),
            old.join("\n")
        ));
    };
    let planted = format!("crate::seam::planted(crate::seam::Bug::{bug})");
    let new: Vec<_> = new.iter().map(|line| line.replace(PLANTED, &planted)).collect();
    let new = new.iter().map(String::as_str);
    let all = lines[..at].iter().copied().chain(new).chain(lines[at + old.len()..].iter().copied());
    *text = all.flat_map(|line| [line, "\n"]).collect();
    Ok(())
}

fn folder(variable: &str) -> Result<PathBuf, String> {
    env::var_os(variable).map(PathBuf::from).ok_or_else(|| format!("cargo does not set {variable}"))
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn write(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    folder.and_then(|()| fs::write(path, text)).map_err(|e| format!("{}: {e}", path.display()))
}

/// All Rust files below a folder.
fn read_all(top: &Path, folder: &Path, sources: &mut Sources) -> Result<(), String> {
    let failed = |error| format!("{}: {error}", folder.display());
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_dir() {
            read_all(top, &path, sources)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(top).unwrap_or(&path).display().to_string();
            sources.insert(name, read(&path)?);
        }
    }
    Ok(())
}
