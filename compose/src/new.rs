//! `new`: a cargo project with a saga, its service, its tests, and what runs it in containers.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use amends_app::{During as _, Failed, print};
use clap::Args;

/// What the template calls its project.
const NAME: &str = "shop";

/// The files of a project, and the template's text of each.
const FILES: [(&str, &str); 14] = [
    ("Cargo.toml", include_str!("../template/Cargo.toml.in")),
    (".gitignore", include_str!("../template/gitignore")),
    (".dockerignore", include_str!("../template/dockerignore")),
    ("README.md", include_str!("../template/README.md")),
    ("Dockerfile", include_str!("../template/Dockerfile")),
    ("compose.yaml", include_str!("../template/compose.yaml")),
    ("nats.conf", include_str!("../template/nats.conf")),
    ("src/main.rs", include_str!("../template/src/main.rs")),
    ("src/lib.rs", include_str!("../template/src/lib.rs")),
    ("src/order.rs", include_str!("../template/src/order.rs")),
    ("src/store.rs", include_str!("../template/src/store.rs")),
    ("migrations/0001_store.sql", include_str!("../template/migrations/0001_store.sql")),
    ("tests/faults.rs", include_str!("../template/tests/faults.rs")),
    ("tests/live.rs", include_str!("../template/tests/live.rs")),
];

/// The libraries that a project uses, and where they are in a checkout.
const LIBRARIES: [(&str, &str); 3] =
    [("amends", "sagas"), ("amends-app", "compose/app"), ("amends-workers", "workers")];

/// Longer ones make no readable commands.
const NAME_LEN_MAX: usize = 40;

#[derive(Debug, Args)]
pub(crate) struct NewArgs {
    /// The project, and its folder: letters from a to z, digits and hyphens
    #[arg(value_parser = name)]
    name: String,
    /// Take Amends from this checkout, in place of the registry
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
}

/// Why a project cannot have this name.
#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("a name has letters from a to z, digits and hyphens, and begins with a letter")]
    Letters,
    #[error("a name has at most {NAME_LEN_MAX} letters")]
    Length,
    #[error("this is the name of a library that the project uses")]
    Taken,
}

fn name(text: &str) -> Result<String, NameError> {
    let letter = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if !text.starts_with(|c: char| c.is_ascii_lowercase()) || !text.chars().all(letter) {
        return Err(NameError::Letters);
    }
    if text.len() > NAME_LEN_MAX {
        return Err(NameError::Length);
    }
    let reserved = ["test", "core", "std", "alloc", "serde", "sqlx", "tokio"];
    if reserved.contains(&text) || LIBRARIES.iter().any(|(library, _)| *library == text) {
        return Err(NameError::Taken);
    }
    Ok(text.to_owned())
}

impl NewArgs {
    /// Writes the project into a folder of its name, which must not be there.
    pub(crate) fn run(self) -> Result<(), Failed> {
        let Self { name, path } = self;
        let source = path.as_deref().map(checkout).transpose()?;
        let folder = Path::new(&name);
        let what = format!("the folder {name}");
        match fs::create_dir(folder) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                let why = format!("{what} is there already: choose another name, or move it");
                return Err(Failed::new(why));
            }
            made => made.during(&format!("{what} cannot be made"))?,
        }
        for (file, text) in FILES {
            let (file, text) = (folder.join(file), filled(text, &name, source.as_deref()));
            let parent = file.parent().unwrap_or(folder);
            let written = fs::create_dir_all(parent).and_then(|()| fs::write(&file, text));
            written.during(&format!("{} cannot be written", file.display()))?;
        }
        print(&format!(
            "{what} has a saga, its service and its tests; next:

  cd {name}
  cargo run -- dev      # runs it with a Postgres and a NATS server of its own, and says what to try
  cargo test            # proves it under every fault, and on real servers
"
        ))
    }
}

/// The folder of a checkout, wherever the project is.
fn checkout(path: &Path) -> Result<PathBuf, Failed> {
    let what = format!("--path {} is no checkout of Amends", path.display());
    let path = path.canonicalize().during(&what)?;
    match LIBRARIES.iter().find(|(_, folder)| !path.join(folder).join("Cargo.toml").is_file()) {
        None => Ok(path),
        Some((library, folder)) => {
            Err(Failed::misused(format!("{what}: {library} is not in its folder {folder}")))
        }
    }
}

/// A file of the template, for a project of this name.
fn filled(text: &str, name: &str, source: Option<&Path>) -> String {
    // In code a name has no hyphens.
    let code = format!("{}::", name.replace('-', "_"));
    // The source last: its path may hold the template's name.
    text.replace(NAME, name)
        .replace(&format!("{name}::"), &code)
        .replace("# AMENDS TESTING", &dependency(LIBRARIES[0], source, Some("testing")))
        .replace("# AMENDS", &dependencies(source))
}

fn dependencies(source: Option<&Path>) -> String {
    let lines = LIBRARIES.map(|library| dependency(library, source, None));
    let hint =
        "# From a checkout: path = \"DIR/sagas\", \"DIR/compose/app\" and \"DIR/workers\".\n";
    let hint = if source.is_some() { "" } else { hint };
    hint.to_owned() + &lines.join("\n")
}

fn dependency(
    (library, folder): (&str, &str),
    source: Option<&Path>,
    feature: Option<&str>,
) -> String {
    let from = match source {
        Some(source) => format!("path = {:?}", source.join(folder).display().to_string()),
        None => format!("version = {:?}", env!("CARGO_PKG_VERSION")),
    };
    let features = feature.map(|feature| format!(", features = [{feature:?}]")).unwrap_or_default();
    format!("{library} = {{ {from}{features} }}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_cargo_takes() {
        for sound in ["shop", "my-shop", "a1"] {
            assert_eq!(name(sound).unwrap(), sound);
        }
        for unsound in
            ["", "Shop", "1a", "-a", "my_shop", "../x", "test", "amends", &"a".repeat(41)]
        {
            assert!(name(unsound).is_err(), "{unsound}");
        }
    }

    #[test]
    fn a_project_has_its_name_and_its_source_stays() {
        let text = "shop shop::app()\n# AMENDS\n# AMENDS TESTING";
        let source = Path::new("/code/shop/amends");
        let filled = filled(text, "my-bar", Some(source));
        assert!(filled.starts_with("my-bar my_bar::app()\n"), "{filled}");
        let paths = [r#"amends = { path = "/code/shop/amends/sagas" }"#, r#"["testing"]"#];
        assert!(paths.iter().all(|path| filled.contains(path)), "{filled}");
    }

    #[test]
    fn each_file_of_the_template_is_written() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("template");
        let mut there = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    there.push(fs::read_to_string(path).unwrap());
                }
            }
        }
        let mut written = FILES.map(|(_, text)| text.to_owned()).to_vec();
        there.sort();
        written.sort();
        assert_eq!(there, written);
    }
}
