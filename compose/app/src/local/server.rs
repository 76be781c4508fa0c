//! The owner's side of a supervised server: start, kill, restart, stop.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::time::{sleep, timeout};

use super::child::{last_lines, plain_environment};
use super::error::LocalError;
use super::folder::{self, Folder};
use super::leftover;
use super::recipe::{Answer, Recipe};
use super::supervise::{self, KILL, SUPERVISE};
use super::user::Account;

/// How long a server may be silent before it counts as not starting.
const SILENCE: Duration = Duration::from_secs(30);
/// How long one that answers "I am starting" may take: recovery after a crash reads the whole log.
const RECOVERY: Duration = Duration::from_secs(300);
/// How long a supervisor may take to start or to end its server.
const SUPERVISOR: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(20);
/// How many ports are tried, and how often a restart waits for its own to become free.
const TRIES: u32 = 10;
/// A log is begun anew beyond this size.
const LOG_BYTES: u64 = 16 << 20;

#[derive(Debug)]
pub(super) struct Server<R> {
    pub(super) recipe: R,
    pub(super) folder: Folder,
    /// The executable that supervises.
    exe: PathBuf,
    program: PathBuf,
    account: Option<Account>,
    port: u16,
    running: Option<Running>,
    /// Where in the log the present run begins.
    log_start: u64,
}

/// Dropping it closes `orders`, upon which the supervisor stops the server.
#[derive(Debug)]
struct Running {
    supervisor: Child,
    orders: ChildStdin,
    pid: u32,
}

impl<R: Recipe> Server<R> {
    pub(super) async fn start(
        exe: &Path,
        folder: Folder,
        program: PathBuf,
        account: Option<Account>,
        recipe: R,
        fixed: Option<u16>,
    ) -> Result<Self, LocalError> {
        let exe = exe.canonicalize().map_err(LocalError::file("find the executable", exe))?;
        leftover::end(&recipe).await?;
        let free = fixed.or_else(|| folder.port());
        let port = free.ok_or(LocalError::NoPort { name: R::NAME })?;
        let mut server =
            Self { recipe, folder, exe, program, account, port, running: None, log_start: 0 };
        for _ in 0..TRIES {
            match server.up().await {
                Err(LocalError::PortTaken { .. }) if fixed.is_none() => {
                    server.port = folder::any_port().ok_or(LocalError::NoPort { name: R::NAME })?;
                }
                up => {
                    return up.and_then(|()| server.folder.keep_port(server.port)).map(|()| server);
                }
            }
        }
        Err(LocalError::NoPort { name: R::NAME })
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn pid(&self) -> Option<u32> {
        self.running.as_ref().map(|running| running.pid)
    }

    /// Ends it by SIGKILL; its processes are gone when this returns.
    pub(super) async fn kill(&mut self) -> Result<(), LocalError> {
        let Some(mut running) = self.running.take() else { return Ok(()) };
        // If the supervisor is gone already, so is its standard input.
        let _ = running.orders.write_all(&[KILL]).await;
        running.ended::<R>().await.map(drop)
    }

    /// Ends it in good order.
    pub(super) async fn halt(&mut self) -> Result<(), LocalError> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let status = running.ended::<R>().await?;
        if !status.success() {
            tracing::warn!(log = %self.log().display(), "{} did not stop in good order", R::NAME);
        }
        Ok(())
    }

    /// Stops it if it runs, and starts it on the same port and data.
    pub(super) async fn restart(&mut self) -> Result<(), LocalError> {
        self.halt().await?;
        leftover::end(&self.recipe).await?;
        for _ in 0..TRIES {
            match self.up().await {
                Err(LocalError::PortTaken { .. }) => sleep(PAUSE * 10).await,
                up => return up,
            }
        }
        Err(LocalError::PortTaken { name: R::NAME, port: self.port })
    }

    /// Starts it and waits till it answers.
    async fn up(&mut self) -> Result<(), LocalError> {
        let until = Instant::now() + SILENCE;
        loop {
            self.launch().await?;
            match self.answers().await {
                Err(LocalError::Ended { .. }) if !folder::is_free(self.port) => {
                    return Err(LocalError::PortTaken { name: R::NAME, port: self.port });
                }
                // The last processes of a server killed with its supervisor are still ending.
                Err(LocalError::Ended { tail, .. })
                    if tail.contains("shared memory block") && Instant::now() < until =>
                {
                    sleep(PAUSE * 10).await;
                }
                answered => return answered,
            }
        }
    }

    async fn answers(&mut self) -> Result<(), LocalError> {
        let begun = Instant::now();
        let mut heard = begun;
        loop {
            match self.recipe.probe(self.port).await {
                Answer::Ready => return Ok(()),
                Answer::Starting => heard = Instant::now(),
                Answer::Nothing => {}
            }
            let (name, log) = (R::NAME, self.log());
            if self.running.as_mut().is_none_or(Running::has_ended) {
                self.running = None;
                return Err(LocalError::Ended { name, tail: self.log_tail(), log });
            }
            if heard.elapsed() > SILENCE || begun.elapsed() > RECOVERY {
                let (seconds, tail) = (begun.elapsed().as_secs(), self.log_tail());
                self.kill().await?;
                return Err(LocalError::Silent { name, seconds, tail, log });
            }
            sleep(PAUSE).await;
        }
    }

    async fn launch(&mut self) -> Result<(), LocalError> {
        let arguments = self.recipe.arguments(self.port)?;
        let command = std::iter::once(self.program.clone().into()).chain(arguments);
        let mut supervisor = Command::new(&self.exe);
        supervisor
            .arg(SUPERVISE)
            .args(supervise::arguments(R::KIND, self.account.as_ref(), command))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(self.open_log()?)
            // Out of the terminal's process group: Ctrl-C is for us, who then stop the servers.
            .process_group(0)
            .current_dir("/");
        plain_environment(&mut supervisor);
        let refused = |said| LocalError::Supervisor { exe: self.exe.clone(), name: R::NAME, said };
        let mut supervisor = supervisor.spawn().map_err(|error| refused(error.to_string()))?;
        let orders = supervisor.stdin.take().ok_or_else(|| refused("no pipe".to_owned()))?;
        let said = first_line(&mut supervisor).await;
        let pid = said.strip_prefix("pid ").and_then(|pid| pid.parse().ok());
        let Some(pid) = pid else {
            let _ = supervisor.start_kill();
            return Err(refused(format!("it said {said:?}")));
        };
        tracing::debug!(pid, port = self.port, "{} started", R::NAME);
        self.running = Some(Running { supervisor, orders, pid });
        Ok(())
    }

    fn log(&self) -> PathBuf {
        self.folder.join("server.log")
    }

    /// The server gets the open file, so the user it runs as needs no access to the path.
    fn open_log(&mut self) -> Result<File, LocalError> {
        let path = self.log();
        let opened = OpenOptions::new().create(true).append(true).open(&path).and_then(|file| {
            if file.metadata()?.len() > LOG_BYTES {
                file.set_len(0)?;
            }
            self.log_start = file.metadata()?.len();
            Ok(file)
        });
        opened.map_err(LocalError::file("open the log", &path))
    }

    /// The last lines that the present run has written.
    fn log_tail(&self) -> String {
        const LINES: usize = 15;
        let mut bytes = Vec::new();
        let read = File::open(self.log()).and_then(|mut file| {
            file.seek(SeekFrom::Start(self.log_start))?;
            file.take(LOG_BYTES).read_to_end(&mut bytes)
        });
        if let Err(error) = read {
            return format!("(it cannot be read: {error})");
        }
        last_lines(&String::from_utf8_lossy(&bytes), LINES)
    }
}

impl Running {
    fn has_ended(&mut self) -> bool {
        !matches!(self.supervisor.try_wait(), Ok(None))
    }

    /// Closes the orders, and waits till the server is gone.
    async fn ended<R: Recipe>(self) -> Result<ExitStatus, LocalError> {
        let Self { mut supervisor, orders, pid } = self;
        drop(orders);
        let ended = timeout(SUPERVISOR, supervisor.wait()).await;
        ended.ok().and_then(Result::ok).ok_or(LocalError::NotStopped { name: R::NAME, pid })
    }
}

/// What the supervisor says, or why it says nothing.
async fn first_line(supervisor: &mut Child) -> String {
    let Some(output) = supervisor.stdout.take() else { return String::new() };
    let mut line = String::new();
    match timeout(SUPERVISOR, BufReader::new(output).read_line(&mut line)).await {
        Ok(Ok(_)) => line.trim().to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(_) => "nothing".to_owned(),
    }
}
