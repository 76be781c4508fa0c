//! What Postgres answers, read on its way to the client.

/// Statements that commit by themselves, and the end of a transaction: how their answers begin.
const COMMITS: [&[u8]; 4] = [b"COMMIT", b"INSERT", b"UPDATE", b"DELETE"];

/// The messages of one connection, which come in any pieces.
#[derive(Default)]
pub(super) struct Answers {
    begun: bool,
    rest: Vec<u8>,
    /// A statement was answered that commits once the session is out of its transaction.
    writes: bool,
}

impl Answers {
    /// How many commits are answered by the end of these bytes.
    pub(super) fn commits_in(&mut self, bytes: &[u8]) -> u64 {
        self.rest.extend_from_slice(bytes);
        if !self.begun && !self.rest.is_empty() {
            self.begun = true;
            // A bare `N` is the answer to the question for TLS, no message.
            if self.rest[0] == b'N' {
                self.rest.remove(0);
            }
        }
        let mut commits = 0;
        while let Some((kind, body)) = self.next() {
            match kind {
                b'C' => self.writes = COMMITS.iter().any(|tag| body.starts_with(tag)),
                // Ready for the next statement, and in no transaction.
                b'Z' => commits += u64::from(std::mem::take(&mut self.writes) && body == b"I"),
                _ => {}
            }
        }
        commits
    }

    /// A byte says what it is, four how long.
    fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let length = self.rest.get(1..5)?.try_into().unwrap();
        let end = 1 + usize::try_from(u32::from_be_bytes(length)).unwrap();
        let body = self.rest.get(5..end)?.to_vec();
        let kind = self.rest[0];
        self.rest.drain(..end);
        Some((kind, body))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_seen_in_whatever_pieces_it_comes() {
        let insert = b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05IC\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05I";
        for size in 1..insert.len() {
            let mut answers = Answers::default();
            let commits: u64 = insert.chunks(size).map(|piece| answers.commits_in(piece)).sum();
            assert_eq!(commits, 1, "in pieces of {size}");
        }
        let within = b"C\0\0\0\x0fINSERT 0 1\0Z\0\0\0\x05T";
        assert_eq!(Answers::default().commits_in(within), 0);
        let end = b"C\0\0\0\x0bCOMMIT\0Z\0\0\0\x05I";
        assert_eq!(Answers::default().commits_in(end), 1);
    }
}
