//! `nats-config`: the configuration of a nats-server that these definitions and services need, with an account for
//! each of those that are not to trust each other.
//!
//! Within one account a server checks neither on which subject a client wants to be answered nor whose inbox
//! it subscribes to. Between accounts nothing passes but what one exports and the other imports:
//! <https://docs.nats.io/running-a-nats-service/configuration/securing_nats/accounts>.

mod installation;
mod parties;
mod text;

use std::path::Path;

use crate::{
    app::App,
    complaint::write_line,
    failed::{During as _, Failed},
    print::print,
};

use installation::Installation;
pub(crate) use parties::Assignments;
use parties::{parties, unpublished};

/// Writes the configuration, into a file or to standard output.
pub(crate) fn run(app: &App, assigned: &Assignments, output: Option<&Path>) -> Result<(), Failed> {
    let installation = Installation::of(&app.definitions()?);
    let parties = parties(&installation, assigned)?;
    for subject in unpublished(&installation, &parties) {
        write_line(&format!(
            "warning: nobody may publish {subject}: name who does with --publisher NAME={subject}"
        ));
    }
    let text =
        text::configuration(app.name(), &command(app.name(), assigned), &installation, &parties);
    match output {
        Some(file) => std::fs::write(file, text).during(&file.display().to_string()),
        None => print(&text),
    }
}

/// What writes the same again.
fn command(program: &str, assigned: &Assignments) -> String {
    let publishers = assigned.publishers.iter().map(|one| format!(" --publisher {one}"));
    let followers = assigned.followers.iter().map(|one| format!(" --follower {one}"));
    format!("{program} nats-config{}", publishers.chain(followers).collect::<String>())
}
