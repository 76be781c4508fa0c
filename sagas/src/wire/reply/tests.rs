use super::*;
use crate::{PAYLOAD_BYTES_MAX, PAYLOAD_DEPTH_MAX};

#[test]
fn replies_round_trip() {
    let replies = [
        Reply::Ok(Json::parse(br#"{"lot": 1.10}"#).unwrap()),
        Reply::Ok(Json::null()),
        Reply::Rejected { code: "out_of_stock".into(), message: "none left".into() },
        Reply::Retry {
            message: "connection reset".into(),
            after: Some(Duration::from_millis(500)),
        },
        Reply::Retry { message: String::new(), after: None },
        Reply::Pending,
    ];
    for reply in replies {
        let body = reply.to_json().unwrap();
        assert_eq!(Reply::parse(body.as_str().as_bytes()).unwrap(), reply, "{body}");
    }
}

fn ok(output: &str) -> Reply {
    Reply::Ok(Json::trusted(output))
}

fn retry(message: &str, after: Option<u64>) -> Reply {
    Reply::Retry { message: message.into(), after: after.map(Duration::from_millis) }
}

fn rejected(code: &str, message: &str) -> Reply {
    Reply::Rejected { code: code.into(), message: message.into() }
}

#[test]
fn what_the_contract_has_is_read() {
    let day = AFTER_MS_MAX;
    let cases = [
        (r#"{"outcome":"ok"}"#, ok("null")),
        (r#"{"outcome":"ok","output":null}"#, ok("null")),
        (r#"{"output":{"a": 1.10} ,"outcome":"ok"}"#, ok(r#"{"a": 1.10}"#)),
        (r#" {"outcome" : "ok", "output":[1,2] } "#, ok("[1,2]")),
        (r#"{"\u006futcome":"\u006fk"}"#, ok("null")),
        // A member that came twice in the output is the business's own.
        (r#"{"outcome":"ok","output":{"a":1,"a":2}}"#, ok(r#"{"a":1,"a":2}"#)),
        (r#"{"outcome":"rejected","code":"no"}"#, rejected("no", "")),
        (r#"{"outcome":"rejected","code":"no","message":null}"#, rejected("no", "")),
        (r#"{"outcome":"rejected","code":"no","message":"ä\n"}"#, rejected("no", "ä\n")),
        (r#"{"outcome":"retry"}"#, retry("", None)),
        (r#"{"outcome":"retry","message":"m","after_ms":0}"#, retry("m", Some(0))),
        (r#"{"outcome":"retry","after_ms":null}"#, retry("", None)),
        (r#"{"outcome":"retry","after_ms":18446744073709551615}"#, retry("", Some(day))),
        (r#"{"outcome":"pending"}"#, Reply::Pending),
        // Later versions may add members, and other outcomes have theirs.
        (r#"{"outcome":"ok","output":1,"later":{"x":[true]}}"#, ok("1")),
        (r#"{"outcome":"ok","code":"","message":"","after_ms":0}"#, ok("null")),
        (r#"{"outcome":"pending","for_ms":30000}"#, Reply::Pending),
    ];
    for (body, reply) in cases {
        assert_eq!(Reply::parse(body.as_bytes()), Ok(reply), "{body}");
    }
}

/// What each wrong shape is told.
#[test]
fn nothing_else_is_read() {
    let outcomes = "it is ok, rejected, retry or pending";
    let member = |name: &str, found: &str, wanted: &str| {
        format!("the member `{name}` of the reply is {found}; it must be {wanted}")
    };
    let twice = |name: &str| format!("the reply holds the member `{name}` twice");
    let text = |name: &str, found: &str| member(name, found, "text in double quotes");
    let count = |found: &str| member("after_ms", found, "a whole number from 0");
    let shape = |found: &str| format!("the reply is {found}; it must be an object");
    let code = "a rejection needs a code of 1 to 64 bytes".to_owned();
    let long = format!(r#"{{"outcome":"rejected","code":"{}"}}"#, "x".repeat(65));
    let cases: Vec<(&str, String)> = vec![
        (r#"["ok",null,"","",null]"#, shape("an array")),
        (r#"[{"outcome":"ok"}]"#, shape("an array")),
        ("[]", shape("an array")),
        (r#""ok""#, shape("text")),
        ("null", shape("null")),
        ("true", shape("a boolean")),
        ("1", shape("a number")),
        ("{}", format!("the reply has no outcome: {outcomes}")),
        (r#"{"outcome":null}"#, format!("the reply has no outcome: {outcomes}")),
        (r#"{"Outcome":"ok"}"#, format!("the reply has no outcome: {outcomes}")),
        (r#"{"outcome":"fine"}"#, format!("the outcome `fine` is not known: {outcomes}")),
        (r#"{"outcome":"OK"}"#, format!("the outcome `OK` is not known: {outcomes}")),
        (r#"{"outcome":""}"#, format!("the outcome `` is not known: {outcomes}")),
        (
            r#"{"outcome":"working","for_ms":30000}"#,
            format!("the outcome `working` is not known: {outcomes}"),
        ),
        (r#"{"outcome":["ok"]}"#, text("outcome", "an array")),
        (r#"{"outcome":{"ok":null}}"#, text("outcome", "an object")),
        (r#"{"outcome":0}"#, text("outcome", "0")),
        (r#"{"outcome":true}"#, text("outcome", "a boolean")),
        (r#"{"outcome":"ok","outcome":"pending"}"#, twice("outcome")),
        (r#"{"outcome":"ok","outcome":"ok"}"#, twice("outcome")),
        (r#"{"outcome":"ok","\u006futcome":"ok"}"#, twice("outcome")),
        (r#"{"outcome":"ok","output":1,"output":2}"#, twice("output")),
        (r#"{"outcome":"ok","later":1,"later":1}"#, twice("later")),
        (r#"{"outcome":"rejected"}"#, code.clone()),
        (r#"{"outcome":"rejected","code":""}"#, code.clone()),
        (r#"{"outcome":"rejected","code":null}"#, code.clone()),
        (&long, code),
        (r#"{"outcome":"rejected","code":404}"#, text("code", "404")),
        (r#"{"outcome":"rejected","code":["no"]}"#, text("code", "an array")),
        (r#"{"outcome":"rejected","code":"no","message":1.5}"#, text("message", "1.5")),
        (r#"{"outcome":"retry","message":{"text":"m"}}"#, text("message", "an object")),
        (r#"{"outcome":"retry","after_ms":-1}"#, count("-1")),
        (r#"{"outcome":"retry","after_ms":500.0}"#, count("500.0")),
        (r#"{"outcome":"retry","after_ms":5e2}"#, count("5e2")),
        (r#"{"outcome":"retry","after_ms":"500"}"#, count("text")),
        (r#"{"outcome":"retry","after_ms":true}"#, count("a boolean")),
        (r#"{"outcome":"retry","after_ms":18446744073709551616}"#, count("18446744073709551616")),
    ];
    for (body, why) in cases {
        assert_eq!(Reply::parse(body.as_bytes()), Err(JsonError::Invalid(why)), "{body}");
    }
}

#[test]
fn what_is_no_payload_is_no_reply() {
    let deep = |depth: usize| {
        let (open, close) = ("[".repeat(depth), "]".repeat(depth));
        format!(r#"{{"outcome":"ok","output":{open}{close}}}"#)
    };
    let sized = |bytes: usize| {
        let body = format!(r#"{{"outcome":"ok","output":"{}"}}"#, "x".repeat(bytes));
        assert!(Reply::parse(body.as_bytes()).is_ok() == (body.len() <= PAYLOAD_BYTES_MAX));
    };
    sized(PAYLOAD_BYTES_MAX - 27);
    sized(PAYLOAD_BYTES_MAX);
    assert!(Reply::parse(deep(PAYLOAD_DEPTH_MAX - 1).as_bytes()).is_ok());
    assert_eq!(Reply::parse(deep(PAYLOAD_DEPTH_MAX).as_bytes()), Err(JsonError::TooDeep));
    assert_eq!(Reply::parse(b""), Err(JsonError::Empty));
    assert_eq!(Reply::parse(b" \n"), Err(JsonError::Empty));
    assert_eq!(Reply::parse(b"\xef\xbb\xbf{\"outcome\":\"ok\"}"), Err(JsonError::ByteOrderMark));
    assert_eq!(Reply::parse(b"{\"outcome\":\"ok\",\"output\":\"\xff\"}"), Err(JsonError::NotUtf8));
    assert_eq!(Reply::parse(br#"{"outcome":"ok","output":"\u0000"}"#), Err(JsonError::Nul));
    for (body, words) in [
        (r#"{"outcome":"ok"}{"outcome":"ok"}"#, "trailing characters"),
        (r#"{"outcome":"ok"},"#, "trailing characters"),
        (r#"{"outcome":"ok",}"#, "trailing comma"),
        (r#"{'outcome':'ok'}"#, "not JSON"),
        (r#"{"outcome":"ok""#, "EOF"),
        ("{\"outcome\":\"o\0k\"}", "control character"),
        (r#"{"outcome":"ok","output":"\ud800"}"#, "not JSON"),
        (r#"{"outcome":"ok","output":NaN}"#, "not JSON"),
    ] {
        let error = Reply::parse(body.as_bytes()).unwrap_err().to_string();
        assert!(error.contains(words), "{body}: {error}");
    }
}

#[test]
fn long_messages_are_cut() {
    let long = "ä".repeat(3000);
    let body = format!(r#"{{"outcome":"retry","message":"{long}"}}"#);
    let Ok(Reply::Retry { message, .. }) = Reply::parse(body.as_bytes()) else { panic!("{body}") };
    assert_eq!(message, "ä".repeat(2048));
}
