//! The name of the program that runs, for what its user reads: the prefix of errors, and commands to type.

use std::sync::OnceLock;

static NAME: OnceLock<String> = OnceLock::new();

/// Keeps the name for the life of the process.
pub(crate) fn set_program_name(name: &str) {
    // A process is one program: whoever set it first has the right one.
    let _ = NAME.set(name.to_owned());
}

/// The name; in a process with another `main`, that of the program which operates any installation.
pub(crate) fn program_name() -> &'static str {
    NAME.get().map_or("amends", String::as_str)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_names_the_program_that_runs() {
        set_program_name("shop");
        set_program_name("other");
        assert_eq!(program_name(), "shop");
    }

    /// Each command that a text of this package tells to run is one of this program.
    #[test]
    fn no_text_names_the_program_itself() {
        let mut wrong = Vec::new();
        let mut folders =
            vec![std::path::PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|end| end == "rs") {
                    let text = std::fs::read_to_string(&path).unwrap();
                    let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                    let code = code.lines().filter(|line| !line.trim_start().starts_with("//"));
                    let named = code.filter(|line| {
                        let commands =
                            ["retire", "letters", "list", "show", "cancel", "migrate", "top"];
                        commands.iter().any(|one| line.contains(&format!("amends {one}")))
                    });
                    wrong.extend(named.map(|line| format!("{}: {line}", path.display())));
                }
            }
        }
        assert!(wrong.is_empty(), "use program_name():\n{}", wrong.join("\n"));
    }
}
