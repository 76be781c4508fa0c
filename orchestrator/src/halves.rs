//! A batch that cannot be written whole is tried in halves, until what is refused is alone.

/// The halves, the first of them last: it is popped first, so that the order is kept.
pub(crate) fn halves<T>(mut items: Vec<T>) -> [Vec<T>; 2] {
    let back = items.split_off(items.len() / 2);
    [back, items]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn popped_one_after_the_other_the_items_come_in_their_order() {
        let (mut left, mut alone) = (vec![(0..7).collect::<Vec<u32>>()], Vec::new());
        while let Some(items) = left.pop() {
            match items[..] {
                [item] => alone.push(item),
                _ => left.extend(halves(items)),
            }
        }
        assert_eq!(alone, [0, 1, 2, 3, 4, 5, 6]);
    }
}
