//! How long a command waits for an orchestrator.

use std::time::Duration;

/// How long a command waits for an orchestrator's decision. What was asked stays noted after that.
pub(super) const PATIENCE: Duration = Duration::from_secs(15);

/// Between two reads of what was decided.
pub(super) const INTERVAL: Duration = Duration::from_millis(100);
