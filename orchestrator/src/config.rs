//! Settings of an orchestrator, and of its connections to Postgres.

use std::time::Duration;

/// Session settings that an orchestrator's connections need. Its statements touch rows by key; with
/// the statistics of an empty table Postgres would choose plans that read all of it, and keep them
/// while it grows. What waits longer than this for a lock waits for a client that hangs.
pub const SESSION: [(&str, &str); 10] = [
    ("plan_cache_mode", "force_generic_plan"),
    ("enable_seqscan", "off"),
    ("enable_hashjoin", "off"),
    ("enable_mergejoin", "off"),
    ("lock_timeout", "10s"),
    ("idle_in_transaction_session_timeout", "60s"),
    // A leader whose machine is gone leaves its place within seconds.
    ("tcp_keepalives_idle", "5"),
    ("tcp_keepalives_interval", "2"),
    ("tcp_keepalives_count", "3"),
    // Its statements note business keys themselves.
    ("amends.keys", "noted"),
];

/// Settings of an orchestrator.
///
/// ```
/// use std::time::Duration;
/// use amends_orchestrator::Config;
///
/// const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// // A NATS cluster of three; sagas that have ended are kept for 90 days.
/// let config = Config { stream_replicas: 3, retain: Some(90 * DAY), ..Config::default() };
/// assert_eq!(config.lanes, 2);
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    /// Lanes side by side; each has one commit under way. More lanes make smaller batches.
    /// Default 2.
    pub lanes: usize,
    /// Largest size of each stream, in bytes. A full work queue refuses new messages; nothing is
    /// dropped. Default 2 GiB.
    pub stream_bytes_max: i64,
    /// Replicas of each stream that is created: 1, or 3 in a cluster. Default 1.
    pub stream_replicas: usize,
    /// Sagas of a definition that may be busy at once, with a command in flight, before more of its triggers wait in
    /// their stream; a sixteenth, while sagas of another definition begin as well. One whose service does not answer
    /// within 1 s to 4 s, by the time that others take, counts no more. Default 512.
    pub admission_max: usize,
    /// How long sagas are kept after they began, if they have ended; longer than any message may wait
    /// in a stream. All replicas should say the same. Default `None`: for ever.
    pub retain: Option<Duration>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            lanes: 2,
            stream_bytes_max: 2 * 1024 * 1024 * 1024,
            stream_replicas: 1,
            admission_max: 512,
            retain: None,
        }
    }
}
