//! Mermaid text, as documentation tools and code hosts draw it.

use std::fmt::Write as _;

use super::{NO_WAY_BACK, Style, UNDO, decides, is_undone, lines, opening, turns_back};
use crate::{Outline, StepOutline, Task};

/// Colours that can be read on light and on dark paper.
const COLOURS: [(Style, &str); 4] = [
    (Style::Compensatable, "fill:#dbe8ff,stroke:#3b6fd4,color:#111"),
    (Style::Pivot, "fill:#ffe2b0,stroke:#c77700,color:#111,stroke-width:3px"),
    (Style::Retriable, "fill:#d5f2de,stroke:#2e8b57,color:#111"),
    (Style::Wait, "fill:#ececf0,stroke:#77808c,color:#111"),
];

/// The plan as a Mermaid flowchart: from the trigger down to the end; dashed the way back.
///
/// ```
/// # use amends::{Definition, DefinitionError, Saga};
/// fn picture<S: Saga>() -> Result<String, DefinitionError> {
///     Ok(amends::mermaid(Definition::of::<S>()?.outline()))
/// }
/// ```
#[must_use]
pub fn mermaid(outline: &Outline) -> String {
    let mut text = format!("---\ntitle: \"{}\"\n---\nflowchart TD\n", outline.title());
    node(&mut text, "start", ("([", "])"), &opening(outline));
    let stages: Vec<_> = outline.stages().collect();
    for (n, stage) in stages.iter().enumerate() {
        if stage.len() == 1 {
            step(&mut text, stage.start, &outline.steps[stage.start]);
            continue;
        }
        line(&mut text, &format!("subgraph g{n} [\"together\"]"));
        for at in stage.clone() {
            step(&mut text, at, &outline.steps[at]);
        }
        line(&mut text, "end");
    }
    node(&mut text, "completed", ("([", "])"), &["completed".to_owned()]);
    let ids: Vec<_> = stages
        .iter()
        .enumerate()
        .map(|(n, s)| if s.len() == 1 { format!("s{}", s.start) } else { format!("g{n}") })
        .collect();
    forth(&mut text, outline, &ids);
    back(&mut text, outline, &ids);
    for (look, colours) in COLOURS {
        line(&mut text, &format!("classDef {} {colours}", look.class()));
    }
    text
}

fn forth(text: &mut String, outline: &Outline, ids: &[String]) {
    let mut from = "start";
    let mut arrow = "-->".to_owned();
    for (stage, id) in outline.stages().zip(ids) {
        line(text, &format!("{from} {arrow} {id}"));
        let decided = decides(&outline.steps[stage]);
        arrow = if decided { format!("-->|{NO_WAY_BACK}|") } else { "-->".to_owned() };
        from = id;
    }
    line(text, &format!("{from} {arrow} completed"));
}

fn back(text: &mut String, outline: &Outline, ids: &[String]) {
    let stages: Vec<_> = outline.stages().collect();
    let Some(last) = stages.iter().rposition(|s| turns_back(&outline.steps[s.clone()])) else {
        return;
    };
    node(text, "compensated", ("([", "])"), &["compensated".to_owned()]);
    for n in (1..=last).rev() {
        let undone = is_undone(&outline.steps[stages[n - 1].clone()]);
        let arrow = if undone { format!("-.->|{UNDO}|") } else { "-.->".to_owned() };
        line(text, &format!("{} {arrow} {}", ids[n], ids[n - 1]));
    }
    line(text, &format!("{} -.-> compensated", ids[0]));
}

fn step(text: &mut String, at: usize, step: &StepOutline) {
    let shape = match (&step.task, step.each) {
        (Task::Saga { .. }, _) => ("[[", "]]"),
        (Task::Call, Some(_)) => ("[/", "/]"),
        (Task::Call, None) => ("[", "]"),
        (Task::Event { .. } | Task::Delay { .. } | Task::Until, _) => ("(", ")"),
    };
    let mut words = vec![step.name.clone()];
    words.extend(lines(step));
    node(text, &format!("s{at}"), shape, &words);
    line(text, &format!("class s{at} {}", Style::of(step).class()));
}

fn node(text: &mut String, id: &str, (open, close): (&str, &str), words: &[String]) {
    let words: Vec<_> = words.iter().map(|words| escape(words)).collect();
    line(text, &format!("{id}{open}\"{}\"{close}", words.join("<br/>")));
}

fn line(text: &mut String, words: &str) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {words}");
}

/// Mermaid's own escapes: `#` and a name or a number.
fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '#' | '&' | '<' | '>' | '"' | '\'' | '`' | '\\' | '*' | '_' => {
                let _ = write!(escaped, "#{};", u32::from(c));
            }
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}
