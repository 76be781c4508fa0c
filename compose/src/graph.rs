//! `graph`: a definition's plan as a picture.

use amends::Outline;

use crate::{
    During as _, Failed,
    cli::{GraphArgs, GraphFormat},
    known::known,
    looks, roles,
};

/// `amends graph`.
pub(crate) fn run(args: GraphArgs) -> Result<(), Failed> {
    let all = known(&roles::definitions()?).into_iter().map(|known| known.outline).collect();
    let outline = choose(all, args.definition.as_deref(), args.version)?;
    let picture = match args.format {
        GraphFormat::Mermaid => amends::mermaid(&outline),
        GraphFormat::Svg => amends::svg(&outline),
    };
    match &args.output {
        Some(file) => std::fs::write(file, picture).during(&file.display().to_string()),
        None => looks::print(&picture),
    }
}

fn choose(all: Vec<Outline>, name: Option<&str>, version: Option<u32>) -> Result<Outline, Failed> {
    let titles = all.iter().map(Outline::title).collect::<Vec<_>>().join(", ");
    let fits = |outline: &Outline| {
        name.is_none_or(|name| outline.name == name)
            && version.is_none_or(|version| outline.version == version)
    };
    let mut fitting: Vec<_> = all.into_iter().filter(fits).collect();
    let Some(newest) = fitting.pop() else {
        return Err(Failed(format!("this program has no such definition: it has {titles}")));
    };
    if fitting.iter().any(|other| other.name != newest.name) {
        return Err(Failed(format!("say which definition: this program has {titles}")));
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
        let chosen = |name, version| choose(all(), name, version).map(|outline| outline.title());
        assert_eq!(chosen(Some("order"), None).unwrap(), "order@2");
        assert_eq!(chosen(Some("order"), Some(1)).unwrap(), "order@1");
        assert_eq!(chosen(None, Some(2)).unwrap(), "order@2");
        let Err(Failed(which)) = chosen(None, None) else { panic!("one was chosen") };
        assert_eq!(which, "say which definition: this program has order@1, order@2, trip@1");
        let Err(Failed(none)) = chosen(Some("order"), Some(3)) else { panic!("there is none") };
        assert!(none.starts_with("this program has no such definition"), "{none}");
    }
}
