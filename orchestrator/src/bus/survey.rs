//! Streams and consumers beside what is needed of them. Nothing is changed here.

use amends::wire;
use async_nats::jetstream::stream;
use serde_json::{Map, Value, json};

use super::{
    error::TopologyError,
    settings::{Difference, Setting, mend},
    upkeep::{NeededStream, Upkeep, pause, words},
};

/// What a part is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartKind {
    /// A stream.
    Stream,
    /// A consumer that orchestrators read.
    Consumer,
    /// A consumer that the workers of a service read.
    Service,
}

/// A stream or a consumer that an installation needs, beside the one that is there.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Part {
    /// What it is.
    pub kind: PartKind,
    /// Its name; of the consumer of a service the service's.
    pub name: String,
    /// The stream that a consumer reads; none where no stream captures its subject. Of a stream its own name.
    pub stream: Option<String>,
    /// What the server says of it, in its own JSON; none where it is not there.
    pub info: Option<Value>,
    /// Settings that lose messages, or hold them back.
    pub differences: Vec<Difference>,
    /// Settings that are its owner's to choose, and less than the program would choose.
    pub choices: Vec<Difference>,
}

impl Upkeep {
    /// A stream that must be there.
    pub(super) async fn survey_stream(&self, needed: NeededStream) -> Result<Part, TopologyError> {
        let NeededStream { config, settings } = needed;
        let found = self.find("STREAM", &config.name).await?;
        let mut part = part(PartKind::Stream, &config.name, Some(&config.name));
        if let Some((found, info)) = found {
            let subjects = found.get("subjects").map(words).unwrap_or_default();
            // `AMENDS_EVENTS` has as many as there are triggers; it is surveyed by each of them.
            if config.name != wire::EVENTS_STREAM && subjects != config.subjects {
                part.differences.push(Difference {
                    setting: "subjects",
                    found: subjects.join(" "),
                    needed: config.subjects.join(" "),
                    mends: false,
                });
            }
            part.differences.extend(mend(&mut found.clone(), &settings));
            part.choices = choices(&found, &config);
            part.info = Some(info);
        }
        Ok(part)
    }

    /// A consumer that must be there, of a stream that is.
    pub(super) async fn survey_consumer(
        &self,
        kind: PartKind,
        stream: &str,
        name: &str,
        settings: &[Setting],
    ) -> Result<Part, TopologyError> {
        let found = self.find("CONSUMER", &format!("{stream}.{name}")).await?;
        let mut part = part(kind, name, Some(stream));
        if let Some((mut found, info)) = found {
            part.differences = mend(&mut found, settings);
            part.differences.extend(pause(&info));
            part.info = Some(info);
        }
        Ok(part)
    }
}

/// One of which nothing is known yet.
pub(super) fn part(kind: PartKind, name: &str, stream: Option<&str>) -> Part {
    Part {
        kind,
        name: name.to_owned(),
        stream: stream.map(str::to_owned),
        info: None,
        differences: Vec::new(),
        choices: Vec::new(),
    }
}

/// How long a server remembers message ids where nobody says: two minutes.
const DUPLICATE_WINDOW: u64 = 120_000_000_000;

/// What its owner may choose, and has chosen smaller than this program would.
fn choices(found: &Map<String, Value>, needed: &stream::Config) -> Vec<Difference> {
    let chosen: [(&'static str, &str, Value); 4] = [
        ("max bytes", "max_bytes", json!(needed.max_bytes)),
        ("replicas", "num_replicas", json!(needed.num_replicas)),
        ("storage", "storage", json!("file")),
        ("duplicate window", "duplicate_window", json!(DUPLICATE_WINDOW)),
    ];
    let other = chosen.into_iter().filter_map(|(setting, field, needed)| {
        let found = found.get(field).unwrap_or(&Value::Null);
        let is_less = match (found.as_i64(), needed.as_i64()) {
            (Some(found), Some(needed)) => found < needed,
            _ => *found != needed,
        };
        is_less.then(|| Difference::told(setting, field, found, &needed))
    });
    other.collect()
}
