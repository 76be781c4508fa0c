//! A trigger is plain JSON or a CloudEvent (<https://github.com/cloudevents/spec>, 1.0, NATS
//! binding): in binary mode the body is the data; in structured mode the data is inside.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Json, JsonError};

#[derive(Deserialize)]
struct Structured<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    data_base64: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Attributes {
    specversion: Option<String>,
    id: Option<String>,
    source: Option<String>,
    r#type: Option<String>,
}

/// The data of a trigger's body. A body counts as a structured CloudEvent when its content type
/// says so, or when it holds all four required attributes.
///
/// # Errors
/// [`JsonError`] when the body breaks a limit, or is a CloudEvent without JSON data.
pub fn event_data(content_type: Option<&str>, body: &[u8]) -> Result<Json, JsonError> {
    let json = Json::parse(body)?;
    let declared = content_type.is_some_and(|t| t.starts_with("application/cloudevents"));
    if !declared && !has_attributes(&json) {
        return Ok(json);
    }
    let event: Structured<'_> = serde_json::from_str(json.as_str())
        .map_err(|e| JsonError::Invalid(format!("the body is no CloudEvent: {e}")))?;
    match (event.data, event.data_base64) {
        (Some(data), _) => Ok(Json::trusted(data.get())),
        (None, Some(_)) => Err(JsonError::Invalid(
            "the CloudEvent holds data_base64; only JSON in data is understood".to_owned(),
        )),
        (None, None) => Err(JsonError::Invalid("the CloudEvent holds no data".to_owned())),
    }
}

fn has_attributes(json: &Json) -> bool {
    // Most events are no CloudEvents: a cheap look spares them a second parse.
    json.as_str().contains("\"specversion\"")
        && json.read::<Attributes>().is_ok_and(|a| {
            a.specversion.is_some() && a.id.is_some() && a.source.is_some() && a.r#type.is_some()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_found_in_each_form() {
        let plain = br#"{"order_id":"o-1"}"#;
        assert_eq!(event_data(None, plain).unwrap().as_str().as_bytes(), plain);
        let event = br#"{"specversion":"1.0","id":"1","source":"/shop","type":"t","data":{"order_id": "o-1"}}"#;
        for content_type in [None, Some("application/cloudevents+json; charset=utf-8")] {
            assert_eq!(event_data(content_type, event).unwrap().as_str(), r#"{"order_id": "o-1"}"#);
        }
        let not_all = br#"{"specversion":"1.0","order_id":"o-1"}"#;
        assert_eq!(event_data(None, not_all).unwrap().as_str().as_bytes(), not_all);
        let no_data = br#"{"specversion":"1.0","id":"1","source":"/shop","type":"t"}"#;
        assert!(event_data(None, no_data).is_err());
    }
}
