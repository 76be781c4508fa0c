//! `top`: a live overview.
//!
//! | to read | start at |
//! |---|---|
//! | what is asked of Postgres | `overview` |
//! | how it is laid out | `frame` |
//! | the terminal | `screen` |

mod frame;
mod overview;
mod screen;

use std::time::Duration;

use amends_postgres::Role;
use tokio::task::JoinHandle;

use self::{
    overview::{Overview, Reader},
    screen::Screen,
};
use crate::{
    failed::{During as _, Failed},
    print::{print, print_json},
    rights::Need,
    run::{connect, stop_on_signal},
    settings::Settings,
    terminal::{Terminal, can_redraw},
};

/// Between two frames.
const REFRESH: Duration = Duration::from_secs(1);

/// Shows one frame, or on a terminal one after the other.
pub(crate) async fn run(settings: &Settings, only_one: bool, json: bool) -> Result<(), Failed> {
    let database = connect::database(settings.database()?, 2, &[])?;
    let reader = Reader::new(database);
    if json || only_one || !can_redraw() {
        return once(reader, json).await;
    }
    live(reader, settings).await
}

/// One look has no rates: they are the difference of two that are far apart.
async fn once(mut reader: Reader, json: bool) -> Result<(), Failed> {
    let overview = reader.read(true).await.during("the overview cannot be read")?;
    if json {
        return print_json(&overview);
    }
    print(&frame::plain(&overview))
}

/// Until `q`, Ctrl-C or SIGTERM.
async fn live(reader: Reader, settings: &Settings) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let (screen, mut keys) = Screen::open().during("the terminal")?;
    let mut reading = read(reader);
    let mut beat = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            key = keys.recv() => match key {
                Some(b'q' | b'Q') | None => return Ok(()),
                Some(_) => {}
            },
            finished = &mut reading => {
                let (reader, overview) = finished.during("the overview failed")?;
                match overview {
                    Ok(overview) => screen.show(&frame::lines(&overview, Terminal::of_stdout())),
                    Err(error) => {
                        let failed = Failed::caused_by("no answer", error);
                        let need = Need::Role(Role::Viewer);
                        let failed = need.explain(failed, settings.database_url.as_deref());
                        screen.show(&frame::trouble(&failed.to_string()))
                    }
                }
                .during("the terminal")?;
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = beat.tick() => {}
                }
                reading = read(reader);
            }
        }
    }
}

type Reading = (Reader, Result<Overview, sqlx::Error>);

/// Reads in a task of its own: leaving cuts nothing off.
fn read(mut reader: Reader) -> JoinHandle<Reading> {
    tokio::spawn(async move {
        let overview = reader.read(false).await;
        (reader, overview)
    })
}
