//! What a demo publishes.

use amends_app::{During as _, Failed};
use bytes::Bytes;

/// Something to publish.
pub(crate) struct Message {
    pub(crate) subject: &'static str,
    pub(crate) body: Bytes,
}

impl Message {
    pub(crate) fn new(subject: &'static str, body: &impl serde::Serialize) -> Result<Self, Failed> {
        let body = serde_json::to_vec(body).during("what is to be published")?.into();
        Ok(Self { subject, body })
    }
}
