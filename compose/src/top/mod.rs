//! `top`: a live overview.
//!
//! | to read | start at |
//! |---|---|
//! | what is asked of Postgres | `look` |
//! | how it is laid out | `frame` |
//! | the terminal | `screen` |

mod frame;
mod look;
mod screen;

use std::{io::IsTerminal as _, time::Duration};

use tokio::task::JoinHandle;

use crate::{
    During as _, Failed,
    cli::{Settings, TopArgs},
    link,
    looks::{print, print_json},
    roles::stop_on_signal,
};
use look::{Looker, Overview};
use screen::Screen;

/// Between two frames.
const REFRESH: Duration = Duration::from_secs(1);

/// What one frame's rates are taken over: Postgres counts with a delay of a second.
const SAMPLE: Duration = Duration::from_secs(2);

/// `amends top`.
pub(crate) async fn run(settings: &Settings, args: TopArgs) -> Result<(), Failed> {
    let pool = link::pool(settings.database()?, 2, &[])?;
    let looker = Looker::new(pool);
    if args.json || args.once || !std::io::stdout().is_terminal() {
        return once(looker, args.json).await;
    }
    live(looker).await
}

async fn once(mut looker: Looker, json: bool) -> Result<(), Failed> {
    const WHAT: &str = "the overview cannot be read";
    looker.count().await.during(WHAT)?;
    tokio::time::sleep(SAMPLE).await;
    let overview = looker.look(true).await.during(WHAT)?;
    if json {
        return print_json(&overview);
    }
    print(&frame::plain(&overview))
}

/// Until `q`, Ctrl-C or SIGTERM.
async fn live(looker: Looker) -> Result<(), Failed> {
    let stop = stop_on_signal()?;
    let (screen, mut keys) = Screen::open().during("the terminal")?;
    let mut looking = look(looker);
    let mut beat = tokio::time::interval(REFRESH);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            key = keys.recv() => match key {
                Some(b'q' | b'Q') | None => return Ok(()),
                Some(_) => {}
            },
            looked = &mut looking => {
                let (looker, overview) = looked.during("the overview failed")?;
                match overview {
                    Ok(overview) => screen.show(&frame::lines(&overview)),
                    Err(error) => screen.show(&frame::trouble(&Failed::new("no answer", &error).0)),
                }
                .during("the terminal")?;
                tokio::select! {
                    () = stop.cancelled() => return Ok(()),
                    _ = beat.tick() => {}
                }
                looking = look(looker);
            }
        }
    }
}

type Looked = (Looker, Result<Overview, sqlx::Error>);

/// Looks in a task of its own: leaving cuts nothing off.
fn look(mut looker: Looker) -> JoinHandle<Looked> {
    tokio::spawn(async move {
        let overview = looker.look(false).await;
        (looker, overview)
    })
}
