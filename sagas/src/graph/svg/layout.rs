//! Where everything stands. The typeface has one width, so that a text's length is known.

use crate::{
    Outline, StepOutline,
    graph::{lines, opening, turns_back},
};

/// Space around a text within its box.
const PAD: u32 = 9;

/// Space around the picture, and around parallel steps.
const MARGIN: u32 = 16;

/// Between steps side by side.
const BESIDE: u32 = 18;

/// Between stages, for the arrows.
const BELOW: u32 = 44;

/// Narrowest box, so that both arrows meet it.
const WIDTH_MIN: u32 = 130;

/// Half the gap between the two ends at the top; the arrows come out of them.
const APART: u32 = 6;

/// The size of a line of text.
#[derive(Clone, Copy)]
pub(super) struct Size {
    /// Tenths of a pixel for a character.
    width: u32,
    pub(super) height: u32,
}

pub(super) const NAME: Size = Size { width: 80, height: 18 };
pub(super) const DETAIL: Size = Size { width: 68, height: 16 };

#[derive(Debug, Clone, Copy)]
pub(super) struct Frame {
    pub(super) x: u32,
    pub(super) y: u32,
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Frame {
    pub(super) const fn bottom(self) -> u32 {
        self.y + self.height
    }
}

/// A box with its text.
pub(super) struct Block<'a> {
    pub(super) frame: Frame,
    pub(super) lines: Vec<String>,
    pub(super) text_height: u32,
    pub(super) step: Option<&'a StepOutline>,
}

impl<'a> Block<'a> {
    fn of(lines: Vec<String>, step: Option<&'a StepOutline>) -> Self {
        let wide = |(n, line): (usize, &String)| {
            let chars = u32::try_from(line.chars().count()).unwrap_or(u32::MAX / 1000);
            chars * if n == 0 { NAME.width } else { DETAIL.width } / 10
        };
        let text = lines.iter().enumerate().map(wide).max().unwrap_or(0);
        let more = u32::try_from(lines.len().saturating_sub(1)).unwrap_or(0);
        let text_height = NAME.height + more * DETAIL.height;
        let height = 2 * PAD + text_height;
        let round = if step.is_none_or(|s| !s.task.has_effect()) { height / 2 } else { 0 };
        let width = (text + 2 * PAD + round).max(WIDTH_MIN);
        Self { frame: Frame { x: 0, y: 0, width, height }, lines, text_height, step }
    }

    fn step(step: &'a StepOutline) -> Self {
        Self::of(std::iter::once(step.name.clone()).chain(lines(step)).collect(), Some(step))
    }

    fn end(name: &str) -> Self {
        Self::of(vec![name.to_owned()], None)
    }
}

pub(super) struct Stage<'a> {
    pub(super) frame: Frame,
    pub(super) blocks: Vec<Block<'a>>,
}

impl<'a> Stage<'a> {
    fn of(steps: &'a [StepOutline]) -> Self {
        let blocks: Vec<_> = steps.iter().map(Block::step).collect();
        let around = if blocks.len() > 1 { 2 * MARGIN } else { 0 };
        let gaps = u32::try_from(blocks.len().saturating_sub(1)).unwrap_or(0) * BESIDE;
        let width = blocks.iter().map(|block| block.frame.width).sum::<u32>() + gaps + around;
        let height = blocks.iter().map(|block| block.frame.height).max().unwrap_or(0) + around;
        Self { frame: Frame { x: 0, y: 0, width, height }, blocks }
    }

    fn place(&mut self, middle: u32, y: u32) {
        self.frame = Frame { x: middle - self.frame.width / 2, y, ..self.frame };
        let around = if self.blocks.len() > 1 { MARGIN } else { 0 };
        let mut x = self.frame.x + around;
        for block in &mut self.blocks {
            block.frame = Frame { x, y: y + around, ..block.frame };
            x += block.frame.width + BESIDE;
        }
    }
}

pub(super) struct Layout<'a> {
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) middle: u32,
    pub(super) start: Block<'a>,
    /// Where a saga ends that turned back; none for a plan that cannot.
    pub(super) compensated: Option<Block<'a>>,
    pub(super) stages: Vec<Stage<'a>>,
    pub(super) completed: Block<'a>,
}

impl<'a> Layout<'a> {
    pub(super) fn of(outline: &'a Outline) -> Self {
        let mut stages: Vec<_> =
            outline.stages().map(|stage| Stage::of(&outline.steps[stage])).collect();
        let mut start = Block::of(opening(outline), None);
        let mut compensated = turns_back(&outline.steps).then(|| Block::end("compensated"));
        let mut completed = Block::end("completed");

        let top = [Some(&start), compensated.as_ref()].into_iter().flatten();
        let widest_end = top.map(|block| block.frame.width).max().unwrap_or(0);
        let widest_stage = stages.iter().map(|stage| stage.frame.width).max().unwrap_or(0);
        let width = widest_stage.max(2 * (widest_end + APART)) + 2 * MARGIN;
        let middle = width / 2;

        start.frame = Frame { x: middle + APART, y: MARGIN, ..start.frame };
        if let Some(Block { frame, .. }) = &mut compensated {
            let x = middle - APART - frame.width;
            *frame = Frame { x, y: MARGIN, height: start.frame.height, ..*frame };
        }
        let mut y = start.frame.bottom() + BELOW;
        for stage in &mut stages {
            stage.place(middle, y);
            y = stage.frame.bottom() + BELOW;
        }
        completed.frame = Frame { x: middle - completed.frame.width / 2, y, ..completed.frame };
        let height = completed.frame.bottom() + MARGIN;
        Self { width, height, middle, start, compensated, stages, completed }
    }
}
