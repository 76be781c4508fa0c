//! What the pictures say of each sort of step.

use super::*;
use crate::{
    Outline,
    sample::{outline, pivot, retriable, trip},
};

fn strange() -> Outline {
    Outline { trigger: "<b>&\"'`#x;".into(), ..outline(vec![pivot(0, "card.charge")]) }
}

#[test]
fn a_trip_in_mermaid() {
    let expected = r#"---
title: "trip@1"
---
flowchart TD
  start(["trips.wanted<br/>one saga per key"])
  s0["hotel.book<br/>compensatable · 10 attempts of 15 s"]
  class s0 compensatable
  subgraph g1 ["together"]
  s1[/"flight.book<br/>compensatable · 10 attempts of 15 s<br/>for each, 4 at once"/]
  class s1 compensatable
  s2["insurance.buy<br/>compensatable · 10 attempts of 15 s<br/>only if input"]
  class s2 compensatable
  end
  s3[["rental<br/>compensatable · the saga rental@1"]]
  class s3 compensatable
  s4("payments.settled<br/>waits for payments.settled<br/>within 3600 s")
  class s4 wait
  s5["card.charge<br/>pivot · 30 attempts of 15 s"]
  class s5 pivot
  s6("cooling-off<br/>waits 60 s")
  class s6 wait
  s7["mail.tickets<br/>retriable · 30 attempts of 15 s"]
  class s7 retriable
  completed(["completed"])
  start --> s0
  s0 --> g1
  g1 --> s3
  s3 --> s4
  s4 --> s5
  s5 -->|no way back| s6
  s6 --> s7
  s7 --> completed
  compensated(["compensated"])
  s5 -.-> s4
  s4 -.->|undo| s3
  s3 -.->|undo| g1
  g1 -.->|undo| s0
  s0 -.-> compensated
"#;
    let text = mermaid(&trip());
    assert!(text.starts_with(expected), "{text}");
    assert!(text[expected.len()..].lines().all(|line| line.starts_with("  classDef ")));
}

#[test]
fn what_cannot_turn_back_has_no_way_back() {
    let forward = outline(vec![retriable(0, "mail.tickets")]);
    assert!(!mermaid(&forward).contains("compensated"));
    assert!(!svg(&forward).contains(">compensated<"));
}

#[test]
fn text_stays_text() {
    let text = mermaid(&strange());
    assert!(
        text.contains("start([\"#60;b#62;#38;#34;#39;#96;#35;x;<br/>one saga per key\"])"),
        "{text}"
    );
    let picture = svg(&strange());
    assert!(picture.contains(">&lt;b&gt;&amp;&quot;&#39;`#x;<"), "{picture}");
}
