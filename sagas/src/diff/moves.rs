//! Which steps stand elsewhere. A step that is put in or taken out moves no other: what counts is how
//! the steps that both plans have stand to each other.

use std::cmp::Ordering;

use super::difference::Difference;
use crate::Outline;

/// The fewest steps, as far as taking out the worst one after the other finds them, without which
/// all others stand as before.
pub(super) fn moved(old: &Outline, new: &Outline, pairs: &[(usize, usize)]) -> Vec<Difference> {
    let relation = |outline: &Outline, a: usize, b: usize| -> Ordering {
        outline.steps[a].stage.cmp(&outline.steps[b].stage)
    };
    let agree =
        |a: &(usize, usize), b: &(usize, usize)| relation(old, a.0, b.0) == relation(new, a.1, b.1);
    let mut kept = pairs.to_vec();
    let mut moved = Vec::new();
    loop {
        let quarrels =
            |pair: &(usize, usize)| kept.iter().filter(|other| !agree(pair, other)).count();
        let worst = kept.iter().enumerate().map(|(at, pair)| (quarrels(pair), at)).max();
        match worst {
            Some((1.., at)) => moved.push(kept.remove(at)),
            _ => break,
        }
    }
    moved.sort_by_key(|(_, at)| *at);
    let difference = |(before, after): (usize, usize)| {
        let change = format!("moved: {} → {}", place(old, before), place(new, after));
        Difference::changed(&new.steps[after].name, change)
    };
    moved.into_iter().map(difference).collect()
}

/// Where a step stands, in words.
pub(super) fn place(outline: &Outline, at: usize) -> String {
    let stage = outline.steps[at].stage;
    let names = |stage: u32| -> Vec<&str> {
        let steps = outline.steps.iter().enumerate();
        let beside = steps.filter(|(other, step)| step.stage == stage && *other != at);
        beside.map(|(_, step)| step.name.as_str()).collect()
    };
    let after = match stage.checked_sub(1) {
        None => "first".to_owned(),
        Some(before) => format!("after {}", names(before).join(" + ")),
    };
    match names(stage).as_slice() {
        [] => after,
        beside => format!("{after}, together with {}", beside.join(" + ")),
    }
}
