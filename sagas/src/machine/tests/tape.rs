//! Where a run's accidents come from: a list of bytes that proptest draws, and shrinks. At its end
//! every choice is 0, which always means that nothing goes wrong: the faults have stopped.

pub(super) struct Tape {
    bytes: std::vec::IntoIter<u8>,
}

impl Tape {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into_iter() }
    }

    /// 0 to `below` - 1.
    pub(super) fn pick(&mut self, below: usize) -> usize {
        self.bytes.next().map_or(0, |byte| usize::from(byte) % below)
    }

    /// True once in `of` times, never after the end.
    pub(super) fn chance(&mut self, of: usize) -> bool {
        self.pick(of) == of - 1
    }
}
