//! SVG with a layout of its own: stages from top to bottom, in the middle the way on, and dashed the
//! way back.

mod layout;

use std::fmt::Write as _;

use super::{NO_WAY_BACK, Style, UNDO, decides, is_undone, turns_back};
use crate::{Outline, Task};
use layout::{Block, DETAIL, Frame, Layout, NAME};

/// The arrows' distance from the middle: forth on the right of it, back on the left.
const ASIDE: u32 = 40;

const STYLE: &str = "
.paper{fill:#fff}
text{font-family:ui-monospace,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11px;fill:#1b1f24}
.name{font-size:13px;font-weight:700}
.aside{fill:#5b6470}
rect,path{fill:none;stroke:#5b6470;stroke-width:1.5}
rect.paper{stroke:none;fill:#fff}
.frame{stroke-dasharray:none;stroke:#b4bcc6;stroke-width:1}
.compensatable{fill:#e7f0ff;stroke:#3b6fd4}
.pivot{fill:#ffefd2;stroke:#c77700;stroke-width:3}
.retriable{fill:#e3f6e8;stroke:#2e8b57}
.wait{fill:#f1f1f4;stroke:#77808c}
.end{fill:#fff}
.inner{fill:none}
.perhaps{stroke-dasharray:6 4}
.back{stroke-dasharray:5 4}
.tip{fill:#5b6470;stroke:none}
@media (prefers-color-scheme:dark){
text{fill:#e6edf3}.aside{fill:#9aa4b2}
rect,path{stroke:#9aa4b2}
rect.paper{fill:#0d1117}.frame{stroke:#3d444d}
.compensatable{fill:#14233f;stroke:#6d9cff}
.pivot{fill:#3a2807;stroke:#ffb648}
.retriable{fill:#10301d;stroke:#5fcf8e}
.wait{fill:#22262d;stroke:#9aa4b2}
.end{fill:#0d1117}.inner{fill:none}.tip{fill:#9aa4b2;stroke:none}
}
";

/// The plan as an SVG picture, readable in light and dark: from the trigger down to the end; dashed
/// the way back. It refers to nothing outside of itself.
///
/// ```
/// # use amends::{Definition, Saga};
/// fn draw<S: Saga>(file: &std::path::Path) -> Result<(), Box<dyn std::error::Error>> {
///     let definition = Definition::of::<S>()?;
///     std::fs::write(file, amends::svg(definition.outline()))?;
///     Ok(())
/// }
/// ```
#[must_use]
pub fn svg(outline: &Outline) -> String {
    let layout = Layout::of(outline);
    let (width, height) = (layout.width, layout.height);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\">\n<title>{}</title>\n<style>{STYLE}</style>\n\
         <defs><marker id=\"tip\" viewBox=\"0 0 8 8\" refX=\"7\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"tip\" d=\"M0 0 8 4 0 8Z\"/></marker></defs>\n\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\"/>\n",
        escape(&outline.title())
    );
    for stage in &layout.stages {
        if stage.blocks.len() > 1 {
            rect(&mut text, stage.frame, "frame", 10);
        }
        for block in &stage.blocks {
            step(&mut text, block);
        }
    }
    for block in [&layout.start, &layout.completed].into_iter().chain(&layout.compensated) {
        rect(&mut text, block.frame, "end", block.frame.height / 2);
        lines_of(&mut text, block);
    }
    arrows(&mut text, outline, &layout);
    text.push_str("</svg>\n");
    text
}

fn step(text: &mut String, block: &Block<'_>) {
    let Some(step) = block.step else { return };
    let look = Style::of(step);
    let mut class = look.class().to_owned();
    if step.condition.is_some() {
        class.push_str(" perhaps");
    }
    let Frame { x, y, width, height } = block.frame;
    let round = if look == Style::Wait { height / 2 } else { 6 };
    if step.each.is_some() {
        // A second sheet below the first: there are many of it.
        rect(text, Frame { x: x + 5, y: y + 5, width, height }, &class, round);
    }
    rect(text, block.frame, &class, round);
    if matches!(step.task, Task::Saga { .. }) {
        let inner = Frame { x: x + 4, y: y + 4, width: width - 8, height: height - 8 };
        rect(text, inner, &format!("{class} inner"), 4);
    }
    lines_of(text, block);
}

fn lines_of(text: &mut String, block: &Block<'_>) {
    let middle = block.frame.x + block.frame.width / 2;
    let mut y = block.frame.y + (block.frame.height - block.text_height) / 2;
    for (n, words) in block.lines.iter().enumerate() {
        let (class, size) = if n == 0 { ("name", NAME) } else { ("", DETAIL) };
        y += size.height;
        label(text, (middle, y - 5), "middle", class, words);
    }
}

fn arrows(text: &mut String, outline: &Outline, layout: &Layout<'_>) {
    let (forth, back) = (layout.middle + ASIDE, layout.middle - ASIDE);
    let steps: Vec<_> = outline.stages().map(|stage| &outline.steps[stage]).collect();
    let last = steps.iter().rposition(|steps| turns_back(steps));
    let mut above = layout.start.frame.bottom();
    for (n, stage) in layout.stages.iter().enumerate() {
        arrow(text, "", forth, above, stage.frame.y);
        let before = n.checked_sub(1).map(|before| steps[before]);
        if before.is_some_and(decides) {
            label(
                text,
                (forth + 10, middle_of(above, stage.frame.y)),
                "start",
                "aside",
                NO_WAY_BACK,
            );
        }
        if last.is_some_and(|last| n <= last) {
            arrow(text, "back", back, stage.frame.y, above);
            if before.is_some_and(is_undone) {
                label(text, (back - 10, middle_of(above, stage.frame.y)), "end", "aside", UNDO);
            }
        }
        above = stage.frame.bottom();
    }
    arrow(text, "", layout.middle, above, layout.completed.frame.y);
    if steps.last().is_some_and(|steps| decides(steps)) {
        let y = middle_of(above, layout.completed.frame.y);
        label(text, (layout.middle + 10, y), "start", "aside", NO_WAY_BACK);
    }
}

fn middle_of(above: u32, below: u32) -> u32 {
    above.midpoint(below) + 4
}

fn rect(text: &mut String, frame: Frame, class: &str, round: u32) {
    let Frame { x, y, width, height } = frame;
    // Writing to a String cannot fail.
    let _ = writeln!(
        text,
        "<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"{round}\"/>"
    );
}

fn label(text: &mut String, (x, y): (u32, u32), anchor: &str, class: &str, words: &str) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let words = escape(words);
    let _ =
        writeln!(text, "<text{class} x=\"{x}\" y=\"{y}\" text-anchor=\"{anchor}\">{words}</text>");
}

fn arrow(text: &mut String, class: &str, x: u32, from: u32, to: u32) {
    let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
    let _ = writeln!(text, "<path{class} d=\"M{x} {from}V{to}\" marker-end=\"url(#tip)\"/>");
}

fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            // XML knows no other control characters.
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests;
