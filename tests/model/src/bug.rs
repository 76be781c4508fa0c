//! Bugs of the driver: the proof that the checks can fail.

/// What the driver does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bug {
    /// Commands are published before their turn is committed.
    PublishBeforeCommit,
    /// A message is acked before its turn is committed.
    AckBeforeCommit,
    /// A message is acked before its commands are published.
    AckBeforePublish,
    /// A turn is written on a state that is outdated.
    NoVersionCheck,
    /// A conflict is decided again on the state at hand.
    ConflictKeepsState,
    /// An act takes no number of its saga's facts.
    ActWithoutFact,
    /// An act does not move its saga's timer.
    ActWithoutWake,
    /// A wake leaves a timer that stands early enough as it is.
    WakeKeepsLease,
    /// A timer is set again although somebody moved it.
    RearmOverWake,
    /// An event is kept, and nobody woken.
    KeepWithoutWake,
    /// A lock is let go, and nobody woken.
    ReleaseWithoutWake,
    /// A saga gets a lock that another has.
    LockForAll,
    /// The barrier remembers nothing.
    NoBarrier,
    /// The end of a nested saga does not wake its outer one.
    EndWithoutWake,
    /// Of a turn's facts the last is not written.
    DroppedFact,
}

#[cfg(test)]
impl Bug {
    pub(crate) const ALL: &[Self] = &[
        Self::PublishBeforeCommit,
        Self::AckBeforeCommit,
        Self::AckBeforePublish,
        Self::NoVersionCheck,
        Self::ConflictKeepsState,
        Self::ActWithoutFact,
        Self::ActWithoutWake,
        Self::WakeKeepsLease,
        Self::RearmOverWake,
        Self::KeepWithoutWake,
        Self::ReleaseWithoutWake,
        Self::LockForAll,
        Self::NoBarrier,
        Self::EndWithoutWake,
        Self::DroppedFact,
    ];
}
