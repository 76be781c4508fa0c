//! Streams and consumers are made, or their settings put right, with a line that says what was changed.

use async_nats::jetstream::{self, consumer::pull, response::Response};
use serde_json::{Map, Value, json};

use super::{
    error::{TopologyError, unavailable},
    limit::answer,
    settings::{Difference, Setting, mend},
};

/// A stream that must be there, as it is made, and the settings that are kept.
pub(super) struct NeededStream {
    pub(super) config: jetstream::stream::Config,
    pub(super) settings: Vec<Setting>,
}

/// Speaks the server's JSON where something is there already: settings that this program does not know
/// stay as they are.
pub(super) struct Upkeep {
    jetstream: jetstream::Context,
}

impl Upkeep {
    pub(super) const fn new(jetstream: jetstream::Context) -> Self {
        Self { jetstream }
    }

    /// Makes a stream, or keeps its settings.
    pub(super) async fn stream(&self, needed: NeededStream) -> Result<(), TopologyError> {
        let NeededStream { config, settings } = needed;
        let name = config.name.clone();
        let Some((found, _)) = self.find("STREAM", &name).await? else {
            answer(self.jetstream.create_stream(config)).await?;
            return Ok(());
        };
        let subjects = found.get("subjects").map(words).unwrap_or_default();
        if subjects != config.subjects {
            let (found, needed) = (subjects.join(" "), config.subjects.join(" "));
            return Err(wrong("stream", &name, "subjects", found, needed));
        }
        self.keep_stream(&name, found, &settings).await
    }

    /// Keeps the settings of a stream that is there.
    pub(super) async fn stream_settings(
        &self,
        name: &str,
        settings: &[Setting],
    ) -> Result<(), TopologyError> {
        match self.find("STREAM", name).await? {
            Some((found, _)) => self.keep_stream(name, found, settings).await,
            None => Ok(()),
        }
    }

    async fn keep_stream(
        &self,
        name: &str,
        mut config: Map<String, Value>,
        settings: &[Setting],
    ) -> Result<(), TopologyError> {
        let differences = mend(&mut config, settings);
        let (subject, request) = (format!("STREAM.UPDATE.{name}"), Value::Object(config));
        self.put_right("stream", name, differences, subject, &request).await
    }

    /// Has a stream capture a subject, too; makes it when it is not there.
    pub(super) async fn capture(
        &self,
        needed: jetstream::stream::Config,
        subject: &str,
    ) -> Result<(), TopologyError> {
        let Some((mut config, _)) = self.find("STREAM", &needed.name).await? else {
            return answer(self.jetstream.create_stream(needed)).await.map(drop);
        };
        if let Some(subjects) = config.get_mut("subjects").and_then(Value::as_array_mut) {
            subjects.push(subject.into());
        }
        let update = format!("STREAM.UPDATE.{}", needed.name);
        match answer(self.jetstream.request(update, &Value::Object(config))).await? {
            Response::Ok::<Value>(_) => Ok(()),
            Response::Err { error } => Err(unavailable(error)),
        }
    }

    /// Makes a consumer, or keeps its settings and has it deliver.
    pub(super) async fn consumer(
        &self,
        stream: &str,
        name: &str,
        needed: pull::Config,
        settings: &[Setting],
    ) -> Result<(), TopologyError> {
        let found = self.find("CONSUMER", &format!("{stream}.{name}")).await?;
        let Some((mut config, info)) = found else {
            let made = self.jetstream.create_consumer_on_stream(needed, stream);
            return answer(made).await.map(drop);
        };
        let differences = mend(&mut config, settings);
        let subject = format!("CONSUMER.CREATE.{stream}.{name}.{}", needed.filter_subject);
        let request = json!({"stream_name": stream, "config": config, "action": "update"});
        let both = format!("{stream} {name}");
        let kept = self.put_right("consumer", &both, differences, subject, &request).await;
        let subject = format!("CONSUMER.PAUSE.{stream}.{name}");
        let resumed = self.put_right("consumer", &both, pause(&info), subject, &json!({})).await;
        kept.and(resumed)
    }

    /// Configuration and description of a stream or consumer, as the server has it. `None` when it is not
    /// there.
    pub(super) async fn find(
        &self,
        what: &str,
        name: &str,
    ) -> Result<Option<(Map<String, Value>, Value)>, TopologyError> {
        let subject = format!("{what}.INFO.{name}");
        let info: Value = match answer(self.jetstream.request(subject, &json!({}))).await? {
            Response::Ok(info) => info,
            Response::Err { error } if error.code() == 404 => return Ok(None),
            Response::Err { error } => return Err(unavailable(error)),
        };
        let config = info.get("config").and_then(Value::as_object).cloned().unwrap_or_default();
        Ok(Some((config, info)))
    }

    /// Sends the request that ends these differences, and says which there were. What the server does not
    /// change is an error, once the rest is right.
    async fn put_right(
        &self,
        what: &'static str,
        name: &str,
        differences: Vec<Difference>,
        subject: String,
        request: &Value,
    ) -> Result<(), TopologyError> {
        let (mut refused, mended): (Vec<_>, Vec<_>) =
            differences.into_iter().partition(|difference| !difference.mends);
        if !mended.is_empty() {
            match answer(self.jetstream.request(subject, request)).await? {
                Response::Ok::<Value>(_) => report(what, name, &mended),
                Response::Err { error } => {
                    tracing::debug!(what, name, %error, "settings cannot be put right");
                    refused.extend(mended);
                }
            }
        }
        match refused.into_iter().next() {
            Some(Difference { setting, found, needed, .. }) => {
                Err(wrong(what, name, setting, found, needed))
            }
            None => Ok(()),
        }
    }
}

/// A consumer that is paused delivers nothing, and nobody is told.
pub(super) fn pause(info: &Value) -> Vec<Difference> {
    if info.get("paused") != Some(&Value::Bool(true)) {
        return Vec::new();
    }
    let until = info.pointer("/config/pause_until").and_then(Value::as_str).unwrap_or("further");
    let (found, needed) = (format!("until {until}"), "none".to_owned());
    vec![Difference { setting: "a pause", found, needed, mends: true }]
}

fn report(what: &str, name: &str, mended: &[Difference]) {
    for Difference { setting, found, needed, .. } in mended {
        tracing::warn!(
            "the {what} `{name}` had {setting} {found}, which Amends has put right: it is {needed} now"
        );
    }
}

pub(super) fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten();
    words.filter_map(Value::as_str).map(str::to_owned).collect()
}

fn wrong(
    what: &'static str,
    name: &str,
    setting: &'static str,
    found: String,
    needed: String,
) -> TopologyError {
    TopologyError::Wrong { what, name: name.to_owned(), setting, found, needed }
}
