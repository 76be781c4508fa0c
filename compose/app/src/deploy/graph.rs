//! `graph`: a definition's plan as a picture.

use std::path::Path;

use amends::Outline;

use super::inventory::inventory;
use crate::{
    app::App,
    failed::{During as _, Failed},
    print::print,
};

/// How a plan is drawn.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Picture {
    Mermaid,
    Svg,
}

/// Which definition, and which of its versions: the newest, if it is not said.
#[derive(Debug, Default)]
pub(crate) struct Choice {
    pub(crate) definition: Option<String>,
    pub(crate) version: Option<u32>,
}

/// Draws a definition's plan, into a file or to standard output.
pub(crate) fn run(
    app: &App,
    choice: &Choice,
    picture: Picture,
    output: Option<&Path>,
) -> Result<(), Failed> {
    let versions = inventory(&app.definitions()?);
    let all = versions.into_iter().map(|version| version.outline).collect();
    let outline = choose(all, choice)?;
    let picture = match picture {
        Picture::Mermaid => amends::mermaid(&outline),
        Picture::Svg => amends::svg(&outline),
    };
    match output {
        Some(file) => std::fs::write(file, picture).during(&file.display().to_string()),
        None => print(&picture),
    }
}

fn choose(all: Vec<Outline>, choice: &Choice) -> Result<Outline, Failed> {
    let (name, version) = (choice.definition.as_deref(), choice.version);
    let titles = all.iter().map(Outline::title).collect::<Vec<_>>().join(", ");
    let fits = |outline: &Outline| {
        name.is_none_or(|name| outline.name == name)
            && version.is_none_or(|version| outline.version == version)
    };
    let mut fitting: Vec<_> = all.into_iter().filter(fits).collect();
    let Some(newest) = fitting.pop() else {
        return Err(Failed::misused(format!(
            "this program has no such definition: it has {titles}"
        )));
    };
    if fitting.iter().any(|other| other.name != newest.name) {
        return Err(Failed::misused(format!("say which definition: this program has {titles}")));
    }
    Ok(newest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<Outline> {
        let of = |name: &str, version| Outline {
            name: name.into(),
            version,
            trigger: "t".into(),
            keyed: false,
            locks: 0,
            deadline_ms: None,
            steps: Vec::new(),
            output_needs: Vec::new(),
        };
        vec![of("order", 1), of("order", 2), of("trip", 1)]
    }

    #[test]
    fn one_is_chosen() {
        let chosen = |name: Option<&str>, version| {
            let choice = Choice { definition: name.map(str::to_owned), version };
            choose(all(), &choice).map(|outline| outline.title())
        };
        assert_eq!(chosen(Some("order"), None).unwrap(), "order@2");
        assert_eq!(chosen(Some("order"), Some(1)).unwrap(), "order@1");
        assert_eq!(chosen(None, Some(2)).unwrap(), "order@2");
        let which = chosen(None, None).unwrap_err().to_string();
        assert_eq!(which, "say which definition: this program has order@1, order@2, trip@1");
        let none = chosen(Some("order"), Some(3)).unwrap_err().to_string();
        assert!(none.starts_with("this program has no such definition"), "{none}");
    }
}
