//! The configuration as text.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use amends::wire;

use super::{installation::Installation, parties::Party};

/// The account that has the streams, and its users.
const ACCOUNT: &str = "AMENDS";

/// The streams that an orchestrator makes and keeps.
const STREAMS: [&str; 5] = [
    wire::EVENTS_STREAM,
    wire::COMMANDS_STREAM,
    wire::REPLIES_STREAM,
    wire::SAGAS_STREAM,
    wire::PROBE_STREAM,
];

/// Those with consumers.
const CONSUMED: [&str; 3] = [wire::EVENTS_STREAM, wire::COMMANDS_STREAM, wire::REPLIES_STREAM];

/// Those that it reads.
const READ: [&str; 2] = [wire::EVENTS_STREAM, wire::REPLIES_STREAM];

const SERVER: &str = r#"listen: "0.0.0.0:4222"

# /healthz and the rest of the monitoring. Keep it inside.
http: "0.0.0.0:8222"

# A command has at most 512 KiB and a few headers. A larger message would cost its sender the
# connection.
max_payload: 1MB

jetstream {
  store_dir: "/data"

  # Each of the four large streams reserves its largest size (AMENDS_STREAM_BYTES_MAX, 2 GiB) when it is
  # created; the disk is taken as they fill.
  max_file_store: 16GB
  max_memory_store: 256MB

  # JetStream acknowledges at once and syncs its disk every two minutes: a power failure takes what
  # it acknowledged meanwhile. Amends stays right, as whatever is unanswered is sent again from
  # Postgres; only the triggers of those minutes, which nobody else remembers, would be gone. With
  # `always` nothing is. It costs a sync of the disk for each message: measured, 1,000 to 5,000
  # messages a second by the disk, instead of 30,000 to 110,000. If triggers can be published again,
  # leave it out.
  sync_interval: always
}
"#;

const ACCOUNTS: &str = r"# Nobody but the orchestrator, and people, is in the account that has the streams. Each other party has an
# account of its own, and from AMENDS just what it works with. So it sees no message of another, and what it
# has sent to another subject, as the answer to a request, stays with itself.
";

/// Everything that a nats-server is to be told.
pub(super) fn configuration(
    program: &str,
    command: &str,
    installation: &Installation,
    parties: &BTreeMap<String, Party>,
) -> String {
    let mut text = format!(
        "# NATS with JetStream for {program}. Passwords come from the environment:
{}
#
# From the program's sagas and services; when they change, write it again:
#
#     {command}
#
# and let each server read it by `nats-server --signal reload`, twice: accounts that are new to a server import what
# others export from the second time on.

server_name: {program}
{SERVER}
{}
{ACCOUNTS}accounts {{
",
        passwords(parties),
        orchestrator(installation)
    );
    text += &streams_account(parties);
    for (name, party) in parties {
        text += &account(name, party);
    }
    text += "}\n";
    text
}

/// The variables that the server reads, in lines of a comment.
fn passwords(parties: &BTreeMap<String, Party>) -> String {
    let users = ["orchestrator", "admin"].into_iter().chain(parties.keys().map(String::as_str));
    let variables: Vec<_> = users.map(password).collect();
    let lines: Vec<_> = variables.chunks(3).map(|some| format!("# {}", some.join(", "))).collect();
    lines.join(",\n")
}

/// The variable with a user's password.
fn password(user: &str) -> String {
    format!("NATS_PASSWORD_{}", user.to_uppercase().replace('-', "_"))
}

/// What an orchestrator may do in the account of the streams.
fn orchestrator(installation: &Installation) -> String {
    let mut text = "# The orchestrator publishes commands and changes of status, and each second a probe, to see whether JetStream
# stores it; and the dead letters that an operator replays: triggers, events and replies. It makes its own streams
# and their consumers, puts their settings right, and pulls from them. It removes messages that its client cannot
# parse, and consumed triggers when they fill the stream; it deletes no stream and no consumer.
ORCHESTRATOR: {
  publish: {
    allow: [
"
    .to_owned();
    let own = ["amends.command.>", "amends.saga.>", "amends.probe", "amends.reply.>"];
    let subjects = own.map(str::to_owned).into_iter().chain(installation.events.iter().cloned());
    let api = |call: &str, streams: &[&str], rest: &str| {
        let calls = streams.iter().map(|stream| format!("$JS.API.{call}.{stream}{rest}"));
        calls.collect::<Vec<_>>()
    };
    let rights = subjects
        .chain(["$JS.API.INFO", "$JS.API.STREAM.NAMES"].map(str::to_owned))
        .chain(api("STREAM.INFO", &STREAMS, ""))
        .chain(api("STREAM.CREATE", &STREAMS, ""))
        .chain(api("STREAM.UPDATE", &STREAMS, ""))
        .chain(api("CONSUMER.CREATE", &CONSUMED, ".>"))
        .chain(api("CONSUMER.INFO", &CONSUMED, ".*"))
        .chain(api("CONSUMER.LIST", &CONSUMED, ""))
        .chain(api("CONSUMER.PAUSE", &CONSUMED, ".*"))
        .chain(api("CONSUMER.MSG.NEXT", &READ, ".*"))
        .chain(READ.map(|stream| format!("$JS.ACK.{stream}.>")))
        .chain(api("STREAM.MSG.GET", &READ, ""))
        .chain(api("STREAM.MSG.DELETE", &READ, ""))
        .chain(api("STREAM.PURGE", &[wire::EVENTS_STREAM], ""));
    for right in rights {
        line(&mut text, format_args!("      \"{right}\""));
    }
    text += "    ]\n  }\n  subscribe: { allow: [\"_INBOX.>\"] }\n}\n";
    text
}

/// The account of the streams, and what it exports to whom.
fn streams_account(parties: &BTreeMap<String, Party>) -> String {
    let mut text = format!("  {ACCOUNT}: {{\n    jetstream: enabled\n    exports: [\n");
    for (name, _) in parties.iter().filter(|(_, party)| party.serves) {
        let account = account_name(name);
        let pull = pulls(name);
        line(
            &mut text,
            format_args!(
                "      {{ service: \"{pull}\", response_type: stream, accounts: [{account}] }}"
            ),
        );
        for subject in answers(name) {
            line(
                &mut text,
                format_args!("      {{ service: \"{subject}\", accounts: [{account}] }}"),
            );
        }
    }
    for (subject, names) in shared(parties, |party| &party.publishes) {
        line(&mut text, format_args!("      {{ service: \"{subject}\", accounts: [{names}] }}"));
    }
    for (definition, names) in shared(parties, |party| &party.follows) {
        let subject = followed(&definition);
        line(&mut text, format_args!("      {{ stream: \"{subject}\", accounts: [{names}] }}"));
    }
    text += "    ]\n    users: [\n";
    text += "      { user: orchestrator, password: $NATS_PASSWORD_ORCHESTRATOR, permissions: $ORCHESTRATOR }\n";
    text += "      # For people: everything.\n";
    text += "      { user: admin, password: $NATS_PASSWORD_ADMIN }\n    ]\n  }\n";
    text
}

/// The account of a party, and what it imports.
fn account(name: &str, party: &Party) -> String {
    let (account, password) = (account_name(name), password(name));
    let mut text = format!(
        "  {account}: {{\n    users: [{{ user: {name}, password: ${password} }}]\n    imports: [\n"
    );
    let own = party.serves.then(|| std::iter::once(pulls(name)).chain(answers(name)));
    let own = own.into_iter().flatten();
    for subject in own.chain(party.publishes.iter().cloned()) {
        line(
            &mut text,
            format_args!("      {{ service: {{ account: {ACCOUNT}, subject: \"{subject}\" }} }}"),
        );
    }
    for definition in &party.follows {
        let subject = followed(definition);
        line(
            &mut text,
            format_args!("      {{ stream: {{ account: {ACCOUNT}, subject: \"{subject}\" }} }}"),
        );
    }
    text += "    ]\n  }\n";
    text
}

/// Where a service asks for its commands, which come as answers.
fn pulls(service: &str) -> String {
    format!("$JS.API.CONSUMER.MSG.NEXT.{}.{service}", wire::COMMANDS_STREAM)
}

/// Where a service acks them and replies. The usual clients ask for the consumer before they pull.
fn answers(service: &str) -> [String; 3] {
    let consumer = format!("{}.{service}", wire::COMMANDS_STREAM);
    [
        format!("$JS.API.CONSUMER.INFO.{consumer}"),
        format!("$JS.ACK.{consumer}.>"),
        wire::reply_subject(service),
    ]
}

fn followed(definition: &str) -> String {
    format!("amends.saga.{definition}.>")
}

/// What several parties may share, each with their accounts as the file names them.
fn shared<'a>(
    parties: &'a BTreeMap<String, Party>,
    of: impl Fn(&'a Party) -> &'a BTreeSet<String>,
) -> BTreeMap<String, String> {
    let mut shared: BTreeMap<String, String> = BTreeMap::new();
    for (name, party) in parties {
        for what in of(party) {
            let accounts = shared.entry(what.clone()).or_default();
            if !accounts.is_empty() {
                accounts.push_str(", ");
            }
            accounts.push_str(&account_name(name));
        }
    }
    shared
}

fn account_name(party: &str) -> String {
    party.to_uppercase()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{line}");
}
