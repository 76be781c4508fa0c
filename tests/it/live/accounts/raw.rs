//! A NATS client that does what it is told, and knows when the server has done it.
//! The protocol: <https://docs.nats.io/reference/reference-protocols/nats-protocol>.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    time::timeout,
};

const ANSWER_MAX: Duration = Duration::from_secs(20);

pub(super) struct RawClient {
    stream: BufReader<TcpStream>,
    subscriptions: u32,
}

/// What came.
#[derive(Debug)]
pub(super) struct Heard {
    pub(super) subject: String,
    pub(super) body: String,
}

enum Line {
    Message(Heard),
    Pong,
    Other,
}

impl RawClient {
    pub(super) async fn connect(address: &str, user: &str, password: &str) -> Self {
        let stream = BufReader::new(TcpStream::connect(address).await.unwrap());
        let mut client = Self { stream, subscriptions: 0 };
        let connect = json!({
            "verbose": false, "pedantic": false, "headers": true, "no_responders": true,
            "protocol": 1, "lang": "raw", "version": "0", "user": user, "pass": password,
        });
        client.write(&format!("CONNECT {connect}\r\n")).await;
        client.heard().await;
        client
    }

    async fn write(&mut self, text: &str) {
        self.stream.get_mut().write_all(text.as_bytes()).await.unwrap();
    }

    pub(super) async fn subscribe(&mut self, subject: &str) {
        self.subscriptions += 1;
        self.write(&format!("SUB {subject} {}\r\n", self.subscriptions)).await;
    }

    pub(super) async fn publish(&mut self, subject: &str, reply: &str, body: &str) {
        self.write(&format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len())).await;
    }

    /// All that came until now; the server has dealt with everything that was sent.
    pub(super) async fn heard(&mut self) -> Vec<Heard> {
        self.write("PING\r\n").await;
        let mut heard = Vec::new();
        loop {
            match self.line().await {
                Line::Message(message) => heard.push(message),
                Line::Pong => return heard,
                Line::Other => {}
            }
        }
    }

    /// The next message.
    pub(super) async fn next(&mut self) -> Heard {
        loop {
            if let Line::Message(message) = self.line().await {
                return message;
            }
        }
    }

    async fn line(&mut self) -> Line {
        let mut line = String::new();
        timeout(ANSWER_MAX, self.stream.read_line(&mut line)).await.expect("an answer").unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["PONG"] => Line::Pong,
            ["PING"] => {
                self.write("PONG\r\n").await;
                Line::Other
            }
            [kind @ ("MSG" | "HMSG"), subject, .., bytes] => {
                let (subject, bytes) = ((*subject).to_owned(), bytes.parse::<usize>().unwrap());
                let headers = match words[words.len() - 2].parse() {
                    Ok(headers) if *kind == "HMSG" => headers,
                    _ => 0,
                };
                let mut content = vec![0; bytes + 2];
                self.stream.read_exact(&mut content).await.unwrap();
                let body = String::from_utf8_lossy(&content[headers..bytes]).into_owned();
                Line::Message(Heard { subject, body })
            }
            [] => panic!("the server has closed the connection"),
            // Its own information, and what it does not permit.
            _ => Line::Other,
        }
    }
}
