//! Rare events that an exploration must reach, and guarantees that it must not see broken.

use std::sync::atomic::{AtomicU64, Ordering};

/// What can be asked of a world.
pub(crate) trait Holds<T> {
    /// Whether it holds.
    fn holds(&self, what: T) -> bool;
}

/// Names what can happen, with the words for it.
macro_rules! words {
    ($(#[$about:meta])* $name:ident: $($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub(crate) enum $name {
            $(#[doc = $text] $variant),+
        }

        impl $name {
            /// All of them.
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),+];

            /// In words.
            #[must_use]
            pub(crate) const fn text(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            /// The question whether it holds of a world, as a function of its own.
            pub(crate) fn question<M, W: Holds<Self>>(self) -> fn(&M, &W) -> bool {
                match self {
                    $(Self::$variant => |_, world| world.holds(Self::$variant)),+
                }
            }
        }
    };
}

words! {
    /// A rare event.
    Happened:
    Completed = "a saga is completed",
    Compensated = "a saga is compensated",
    Stuck = "a saga is stuck",
    Healed = "a stuck saga goes on",
    LateSuccess = "an action succeeds after it was given up",
    EmptyUndo = "a compensation comes before its action",
    RefusedAction = "an action that hung comes after its compensation, and is refused",
    Replayed = "a barrier answers a command again",
    OldAttempt = "a reply to an attempt before the last one settles the step",
    Conflict = "a cached state is outdated: the version check finds it",
    ConflictInLease = "a timer's turn was read, and another turn came first",
    Recheck = "a cached state calls a reply unexpected: it is decided again",
    UnknownKept = "a commit without an answer had committed",
    UnknownLost = "a commit without an answer had not committed",
    CrashBeforePublish = "a replica dies between commit and publication",
    CrashWhilePublishing = "a replica dies between two publications",
    CrashBeforeAck = "a replica dies between publication and ack",
    SentAgain = "a repeated message has its commands published again",
    TimedOut = "an attempt times out",
    DuplicateTrigger = "a trigger comes twice",
    KeyHeld = "another message has started the saga of this key",
    KeyConflict = "two messages of one key are decided at the same time",
    OtherBody = "a key comes with another body",
    Cancelled = "a cancellation turns a saga back",
    CancelAgainstPivot = "a cancellation comes when the pivot is being decided",
    ActFound = "a reply meets an act that was committed before it: the act is decided first",
    HeldInQueue = "a saga that waits for a lock is held, and lets another go first",
    ActOvertaken = "an act is refused: another operator acted meanwhile",
    DeadlineTurns = "the deadline turns a saga back",
    DeadlineNoted = "the deadline passes when there is no way back",
    ReplyAfterDeadline = "a reply is decided after the deadline, and before its timer",
    PausedAcrossDeadline = "a paused saga passes its deadline",
    ReplyWhilePaused = "a reply comes for a paused saga",
    EventBeforeWait = "an event comes before its step waits for it",
    EventAfterWait = "an event comes when its step waits for it",
    EventTwice = "an event is delivered twice",
    EventTooLate = "an event comes when the wait is over",
    CrashBeforeWake = "a replica dies when an event is kept and nobody woken",
    Queued = "a saga waits for a lock",
    LockHandedOver = "a saga gets the lock that another had",
    NestedRejected = "a nested saga turns back, and its outer one with it",
    NestedUndone = "a nested saga is undone after it was completed",
    NestedCalledOff = "a nested saga is undone while it is under way",
    LeaseRanOut = "a timer fires again while its first turn is under way",
    MovedInLease = "a timer is moved while its turn is under way",
    NothingDue = "a timer fires, and nothing is due",
    BothAtOnce = "two turns of one saga are decided in one batch",
    Deferred = "a service answers later what it has accepted",
    CompensationRefused = "a service refuses a compensation",
    Skipped = "an operator skips a step",
    Resolved = "an operator says how a step ended",
    Retried = "an operator has a step repeated",
}

words! {
    /// A broken guarantee.
    Breach:
    TwoFacts = "no two facts have one number",
    Livelock = "a turn that is decided on what is stored can be written",
    Overtaken = "no turn goes past an act that was committed before",
    Fold = "a state is the fold of its facts",
    Stored = "facts are read as they were written",
    Uncommitted = "nothing is published that was not committed",
    Acked = "nothing is acked before its turn is committed and its commands are stored",
    OnceCompleted = "completed: each effect applied once, none undone",
    OnceCompensated = "compensated: each effect that was applied is undone, once",
    Twice = "no effect is applied or undone twice",
    Order = "compensations go backwards",
    Pivot = "nothing is undone after the pivot",
    Deadline = "nothing new is asked for after the deadline",
    Nested = "a nested saga ends as its outer one",
    NoTimer = "an open saga has a timer",
    LateTimer = "no timer stands later than what is due",
    LostWake = "what waits for a saga has its timer fire",
    Rests = "an ended saga has no timer that never fires",
    Lock = "a lock has one holder",
    Dead = "no message is buried that is none",
}

/// How often each rare event happened in a whole exploration. A step to a state that is known already
/// counts here, and is no example to `stateright`.
#[derive(Debug)]
pub(crate) struct Tally([AtomicU64; Happened::ALL.len()]);

impl Default for Tally {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; Happened::ALL.len()])
    }
}

impl Tally {
    pub(crate) fn add(&self, seen: Seen) {
        let mut bits = seen.0;
        while bits != 0 {
            let at = bits.trailing_zeros() as usize;
            self.0[at].fetch_add(1, Ordering::Relaxed);
            bits &= bits - 1;
        }
    }

    pub(crate) fn of(&self, event: Happened) -> u64 {
        self.0[event as usize].load(Ordering::Relaxed)
    }
}

/// A set of what happened.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Seen(u64);

impl Seen {
    pub(crate) const fn add(&mut self, what: Happened) {
        self.0 |= 1 << what as u8;
    }

    pub(crate) const fn all(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) const fn has(self, what: Happened) -> bool {
        self.0 & (1 << what as u8) != 0
    }
}
