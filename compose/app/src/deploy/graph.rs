//! `graph`: a definition's plan as a picture.

use std::path::Path;

use amends::{Outline, transcript::printable};

use super::{inventory::inventory, stored::stored_versions};
use crate::{
    app::App,
    failed::{During as _, Failed},
    print::print,
    run::connect,
    settings::Settings,
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

/// Draws a definition's plan, into a file or to standard output. What the program does not know may be in the
/// database, if there is one.
pub(crate) async fn run(
    settings: &Settings,
    app: &App,
    choice: &Choice,
    picture: Picture,
    output: Option<&Path>,
) -> Result<(), Failed> {
    let versions = inventory(&app.definitions()?);
    let ours: Vec<_> = versions.into_iter().map(|version| version.outline).collect();
    let outline = match choose(&ours, choice)? {
        Some(outline) => outline.clone(),
        None => stored(settings, &ours, choice).await?,
    };
    let picture = match picture {
        Picture::Mermaid => amends::mermaid(&outline),
        Picture::Svg => amends::svg(&outline),
    };
    match output {
        Some(file) => std::fs::write(file, picture).during(&file.display().to_string()),
        None => print(&picture),
    }
}

/// The plan of a version that is in the database only.
async fn stored(settings: &Settings, ours: &[Outline], choice: &Choice) -> Result<Outline, Failed> {
    let known = format!("this program has {}", titles(ours));
    if settings.database_url.is_none() {
        return Err(Failed::misused(format!(
            "{} is not known: {known}; with --database-url also those are drawn that ran there",
            choice.title()
        )));
    }
    let database = connect::database(settings.database()?, 1, &[])?;
    let versions = stored_versions(&database).await?;
    let theirs: Vec<_> = versions.into_iter().filter_map(|version| version.outline).collect();
    choose(&theirs, choice)?.cloned().ok_or_else(|| {
        Failed::misused(format!(
            "{} is not known: {known}, the database {}",
            choice.title(),
            if theirs.is_empty() { "none".to_owned() } else { titles(&theirs) }
        ))
    })
}

impl Choice {
    fn title(&self) -> String {
        let name = self.definition.as_deref().unwrap_or("a definition");
        let version = self.version.map(|version| format!("@{version}"));
        printable(&format!("`{name}{}`", version.unwrap_or_default()))
    }

    fn fits(&self, outline: &Outline) -> bool {
        self.definition.as_ref().is_none_or(|name| outline.name == *name)
            && self.version.is_none_or(|version| outline.version == version)
    }
}

fn titles(outlines: &[Outline]) -> String {
    outlines.iter().map(Outline::title).collect::<Vec<_>>().join(", ")
}

/// The newest that fits, if any does.
fn choose<'a>(all: &'a [Outline], choice: &Choice) -> Result<Option<&'a Outline>, Failed> {
    let fitting: Vec<_> = all.iter().filter(|outline| choice.fits(outline)).collect();
    let Some((newest, others)) = fitting.split_last() else { return Ok(None) };
    if others.iter().any(|other| other.name != newest.name) {
        return Err(Failed::misused(format!("say which definition: there are {}", titles(all))));
    }
    Ok(Some(*newest))
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
        let all = all();
        let chosen = |name: Option<&str>, version| {
            let choice = Choice { definition: name.map(str::to_owned), version };
            choose(&all, &choice).map(|outline| outline.map(Outline::title))
        };
        assert_eq!(chosen(Some("order"), None).unwrap().unwrap(), "order@2");
        assert_eq!(chosen(Some("order"), Some(1)).unwrap().unwrap(), "order@1");
        assert_eq!(chosen(None, Some(2)).unwrap().unwrap(), "order@2");
        let which = chosen(None, None).unwrap_err().to_string();
        assert_eq!(which, "say which definition: there are order@1, order@2, trip@1");
        assert_eq!(chosen(Some("order"), Some(3)).unwrap(), None);
    }
}
