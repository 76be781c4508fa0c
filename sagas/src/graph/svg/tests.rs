//! Nothing lies on anything else, and everything is there.

use super::*;
use crate::sample::{outline, retriable, trip};

fn inside(inner: Frame, outer: Frame) -> bool {
    let right = |frame: Frame| frame.x + frame.width;
    inner.x >= outer.x
        && inner.y >= outer.y
        && right(inner) <= right(outer)
        && inner.bottom() <= outer.bottom()
}

#[test]
fn nothing_overlaps() {
    let wide = outline((0..8).map(|n| retriable(0, &format!("mail.tickets-{n}"))).collect());
    for outline in [trip(), wide] {
        let layout = Layout::of(&outline);
        let paper = Frame { x: 0, y: 0, width: layout.width, height: layout.height };
        let mut above = layout.start.frame.bottom();
        for stage in &layout.stages {
            assert!(inside(stage.frame, paper) && stage.frame.y > above);
            above = stage.frame.bottom();
            assert!(stage.blocks.iter().all(|block| inside(block.frame, stage.frame)));
            for two in stage.blocks.windows(2) {
                assert!(two[0].frame.x + two[0].frame.width < two[1].frame.x);
            }
        }
        assert!(layout.completed.frame.y > above && inside(layout.completed.frame, paper));
        let ends = [Some(&layout.start), layout.compensated.as_ref()];
        assert!(ends.into_iter().flatten().all(|block| inside(block.frame, paper)));
    }
}

#[test]
fn every_step_is_drawn() {
    let picture = svg(&trip());
    for step in &trip().steps {
        let name = format!(">{}</text>", step.name);
        assert_eq!(picture.matches(&name).count(), 1, "{name}");
    }
    for words in
        ["completed", "compensated", "no way back", "one saga per key", "for each, 4 at once"]
    {
        assert!(picture.contains(&format!(">{words}</text>")), "{words}");
    }
    assert_eq!(picture.matches("<path class=\"back\"").count(), 5);
}
