use super::*;

const EVENT: &str =
    r#"{"specversion":"1.0","id":"1","source":"/shop","type":"t","data":{"n": 1.10}}"#;
const DATA: &str = r#"{"n": 1.10}"#;
const STRUCTURED: (&str, &str) = ("Content-Type", "application/cloudevents+json");
const BINARY: [(&str, &str); 4] =
    [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/shop"), ("ce-type", "t")];

fn read(headers: &[(&str, &str)], body: &str) -> Result<String, String> {
    let headers = headers.iter().copied().collect();
    let data = event_data(&headers, body.as_bytes());
    data.map(|json| json.to_string()).map_err(|error| error.to_string())
}

#[test]
fn plain_json_is_passed_on_as_it_came() {
    for body in [DATA, "[1, 2]", "null", "\"x\"", "1.10", r#"{"a":1,"a":2}"#] {
        assert_eq!(read(&[], body).as_deref(), Ok(body));
    }
    for content_type in [
        "application/json",
        "Application/JSON",
        "application/json; charset=utf-8",
        "application/json;charset=\"UTF-8\"",
        "\tapplication/json ; charset=utf-8 ",
        "application/json;",
        "application/problem+json",
        "application/vnd.shop.order+json; version=2",
    ] {
        for name in ["Content-Type", "content-type", "CONTENT-TYPE"] {
            assert_eq!(read(&[(name, content_type)], DATA).as_deref(), Ok(DATA), "{content_type}");
        }
    }
    // Attributes that are not all there, or null, are members of the business.
    for body in [
        r#"{"specversion":"1.0","order_id":"o-1"}"#,
        r#"{"specversion":"1.0","id":"1","source":"/","data":1}"#,
        r#"{"specversion":null,"id":"1","source":"/","type":"t","data":1}"#,
        r#"{"note":"\"specversion\"","id":"1","source":"/","type":"t"}"#,
        r#"[{"specversion":"1.0","id":"1"}]"#,
        r#"[["specversion","1.0"]]"#,
        r#""\"specversion\"""#,
    ] {
        assert_eq!(read(&[], body).as_deref(), Ok(body));
    }
}

#[test]
fn structured_mode_holds_the_data() {
    for content_type in [
        "application/cloudevents+json",
        "application/cloudevents+json; charset=utf-8",
        "APPLICATION/CloudEvents+JSON",
        " application/cloudevents+json ;charset=UTF-8",
    ] {
        assert_eq!(read(&[("content-type", content_type)], EVENT).as_deref(), Ok(DATA));
    }
    assert_eq!(read(&[], EVENT).as_deref(), Ok(DATA));
    assert_eq!(read(&[("Content-Type", "application/json")], EVENT).as_deref(), Ok(DATA));
    // Extensions, optional attributes and null ones are the publisher's.
    for more in [
        r#""subject":null,"time":"yesterday","dataschema":7,"myextension":[],"#,
        r#""datacontenttype":"application/json","#,
        r#""datacontenttype":null,"data_base64":null,"#,
    ] {
        let event = EVENT.replacen('{', &format!("{{{more}"), 1);
        assert_eq!(read(&[STRUCTURED], &event).as_deref(), Ok(DATA), "{more}");
    }
    let escaped = EVENT.replace("\"id\"", "\"\\u0069d\"");
    assert_eq!(read(&[STRUCTURED], &escaped).as_deref(), Ok(DATA));
    // Intermediaries double the attributes; the content type decides.
    let both = [BINARY.as_slice(), &[STRUCTURED]].concat();
    assert_eq!(read(&both, EVENT).as_deref(), Ok(DATA));
}

/// What each wrong envelope is told, whether its content type says that it is one or not.
#[test]
fn a_wrong_envelope_is_refused() {
    let lacks = |name: &str| format!("the CloudEvent lacks the attribute `{name}`");
    let twice = |name: &str| format!("the CloudEvent holds the member `{name}` twice");
    let text = |name: &str, found: &str| {
        format!(
            "the member `{name}` of the CloudEvent is {found}; it must be text in double quotes"
        )
    };
    let with = |from: &str, to: &str| EVENT.replacen(from, to, 1);
    let more = |member: &str| EVENT.replacen('{', &format!("{{{member},"), 1);
    let data = r#","data":{"n": 1.10}"#;
    let no_data = "the CloudEvent holds no data".to_owned();
    let version =
        |v: &str| format!("the CloudEvent is of specversion `{v}`; only 1.0 is understood");
    let of_data = |t: &str| format!("the data of the CloudEvent is {t}; only JSON is understood");
    let cases = [
        (with("\"1\"", "1"), text("id", "1")),
        (with("\"/shop\"", "[\"/shop\"]"), text("source", "an array")),
        (with("\"t\"", "{}"), text("type", "an object")),
        (with("\"1.0\"", "1.0"), text("specversion", "1.0")),
        (with("\"t\"", "\"\""), lacks("type")),
        (with("\"1.0\"", "\"0.3\""), version("0.3")),
        (with("\"1.0\"", "\"1.0.2\""), version("1.0.2")),
        (with("\"1.0\"", "\"1\""), version("1")),
        (more(r#""id":"2""#), twice("id")),
        (more(r#""\u0069d":"2""#), twice("id")),
        (more(r#""data":{"n":2}"#), twice("data")),
        (more(r#""ext":1,"ext":2"#), twice("ext")),
        (with(data, ""), no_data.clone()),
        (with(data, r#","data":null"#), no_data),
        (
            with(data, r#","data_base64":"e30=""#),
            "the CloudEvent holds data_base64: send the event as JSON in data".into(),
        ),
        (
            more(r#""data_base64":"e30=""#),
            "the CloudEvent holds both data and data_base64: send data only".into(),
        ),
        (more(r#""datacontenttype":"text/xml""#), of_data("text/xml")),
        (more(r#""datacontenttype":"application/jsonfoo""#), of_data("application/jsonfoo")),
        (more(r#""datacontenttype":7"#), text("datacontenttype", "7")),
        (
            more(r#""datacontenttype":"json""#),
            "the content type `json` is malformed: write for instance application/json".into(),
        ),
    ];
    for (event, why) in cases {
        assert_eq!(read(&[STRUCTURED], &event), Err(why.clone()), "{event}");
        assert_eq!(read(&[], &event), Err(why), "undeclared: {event}");
    }
    // Without what makes it one only its content type says that it is meant to be one.
    let shape = |found: &str| format!("the CloudEvent is {found}; it must be an object");
    for (event, why) in [
        (with(r#""id":"1","#, ""), lacks("id")),
        (with("\"1\"", "null"), lacks("id")),
        (DATA.to_owned(), lacks("specversion")),
        (format!("[{EVENT}]"), shape("an array")),
        (r#"["1.0","1","/shop","t",{"n":1}]"#.to_owned(), shape("an array")),
        ("7".to_owned(), shape("a number")),
        ("null".to_owned(), shape("null")),
        (String::new(), "the payload is not JSON: it is empty".to_owned()),
        (
            format!("\u{feff}{EVENT}"),
            "the payload begins with a byte order mark: send it without".into(),
        ),
    ] {
        assert_eq!(read(&[STRUCTURED], &event), Err(why), "{event}");
    }
    let garbage = read(&[STRUCTURED], &format!("{EVENT}x")).unwrap_err();
    assert!(garbage.contains("trailing characters"), "{garbage}");
}

#[test]
fn binary_mode_is_the_data() {
    assert_eq!(read(&BINARY, DATA).as_deref(), Ok(DATA));
    // Data that looks like another event is data.
    assert_eq!(read(&BINARY, EVENT).as_deref(), Ok(EVENT));
    for more in [
        ("Content-Type", "application/json; charset=utf-8"),
        ("ce-datacontenttype", "application/json"),
        ("ce-subject", "o-1"),
        ("ce-", ""),
    ] {
        let headers = [BINARY.as_slice(), &[more]].concat();
        assert_eq!(read(&headers, DATA).as_deref(), Ok(DATA), "{more:?}");
    }
    let upper: Vec<_> = BINARY.iter().map(|(name, value)| (name.to_uppercase(), *value)).collect();
    let upper: Vec<_> = upper.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(read(&upper, DATA).as_deref(), Ok(DATA));

    for at in 1..BINARY.len() {
        let mut headers = BINARY.to_vec();
        let (name, _) = headers.remove(at);
        let why = format!("the CloudEvent in binary mode lacks the header {name}");
        assert_eq!(read(&headers, DATA), Err(why.clone()));
        headers.push((name, ""));
        assert_eq!(read(&headers, DATA), Err(why));
    }
    for twice in ["ce-specversion", "ce-id", "CE-ID", "ce-type"] {
        let headers = [BINARY.as_slice(), &[(twice, "1.0")]].concat();
        let why = format!("the header {} comes more than once: send it once", twice.to_lowercase());
        assert_eq!(read(&headers, DATA), Err(why));
    }
    let mut old = BINARY;
    old[0].1 = "0.3";
    let why = "the CloudEvent is of specversion `0.3`; only 1.0 is understood";
    assert_eq!(read(&old, DATA), Err(why.to_owned()));
    let xml = [BINARY.as_slice(), &[("ce-datacontenttype", "text/xml")]].concat();
    let why = "the data of the CloudEvent is text/xml; only JSON is understood";
    assert_eq!(read(&xml, DATA), Err(why.to_owned()));
}

#[test]
fn a_batch_is_told_to_come_one_by_one() {
    let why = "the message is a batch of CloudEvents: publish each event as a message of its own, \
               as application/cloudevents+json";
    for content_type in
        ["application/cloudevents-batch+json", "Application/CloudEvents-Batch+JSON; charset=utf-8"]
    {
        for body in [&format!("[{EVENT},{EVENT}]"), "[]", EVENT, "", "no json"] {
            assert_eq!(
                read(&[("Content-Type", content_type)], body),
                Err(why.to_owned()),
                "{body}"
            );
        }
    }
    for body in [format!("[{EVENT}]"), format!(" [ {EVENT} , {EVENT} ] ")] {
        assert_eq!(read(&[], &body), Err(why.to_owned()), "{body}");
        assert_eq!(read(&BINARY, &body).as_deref(), Ok(body.trim()));
    }
}

#[test]
fn another_content_type_is_no_event() {
    let no_json = |t: &str| {
        format!(
            "the content type `{t}` is not JSON: publish JSON as application/json, or without a content type"
        )
    };
    let malformed = |t: &str| {
        format!("the content type `{t}` is malformed: write for instance application/json")
    };
    for (content_type, why) in [
        ("application/jsonfoo", no_json("application/jsonfoo")),
        ("application/json-seq", no_json("application/json-seq")),
        ("application/jsonfoo; charset=utf-8", no_json("application/jsonfoo")),
        ("application/cloudevents", no_json("application/cloudevents")),
        ("application/cloudevents+avro", no_json("application/cloudevents+avro")),
        ("application/cloudevents+jsonfoo", no_json("application/cloudevents+jsonfoo")),
        ("application/cloudeventsfoo+xml", no_json("application/cloudeventsfoo+xml")),
        ("text/json", no_json("text/json")),
        ("TEXT/Plain", no_json("text/plain")),
        ("application/octet-stream", no_json("application/octet-stream")),
        ("", malformed("")),
        ("json", malformed("json")),
        ("application/", malformed("application/")),
        ("application/json, text/plain", malformed("application/json, text/plain")),
        ("application/json; charset", malformed("application/json; charset")),
        ("application json", malformed("application json")),
    ] {
        assert_eq!(read(&[("Content-Type", content_type)], DATA), Err(why.clone()));
        let headers = [BINARY.as_slice(), &[("Content-Type", content_type)]].concat();
        assert_eq!(read(&headers, DATA), Err(why));
    }
    for second in [("Content-Type", "application/json"), ("content-type", "text/plain")] {
        let why = "the header Content-Type comes more than once: send it once";
        assert_eq!(
            read(&[("Content-Type", "application/json"), second], DATA),
            Err(why.to_owned())
        );
    }
}
