//! pgbouncer between the processes and Postgres.

use std::{
    fs::File,
    net::Ipv4Addr,
    path::Path,
    process::{Command, Stdio},
};

use nix::unistd::geteuid;
use tokio::process::Child;

use super::{Shop, eventually, port::listen};

const BINARIES: [&str; 4] = [
    "/usr/sbin/pgbouncer",
    "/usr/bin/pgbouncer",
    "/usr/local/bin/pgbouncer",
    "/opt/homebrew/bin/pgbouncer",
];

/// A pgbouncer; gone with this value.
pub(crate) struct Pooler {
    pub(crate) url: String,
    _process: Child,
}

impl Pooler {
    /// One before the shop's Postgres, with this `pool_mode`.
    pub(crate) async fn before(shop: &Shop, mode: &str) -> Self {
        let database = shop.local.database_url();
        let server = database.rsplit(['@', '/']).nth(1).unwrap();
        let (_, server_port) = server.split_once(':').unwrap();
        let port = listen(Ipv4Addr::LOCALHOST.into()).await.local_addr().unwrap().port();
        let config = shop.folder.path().join(format!("pgbouncer-{mode}.ini"));
        let text = format!(
            "[databases]\n\
             amends = host=127.0.0.1 port={server_port} dbname=amends user=amends\n\
             [pgbouncer]\n\
             listen_addr = 127.0.0.1\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             pool_mode = {mode}\n\
             default_pool_size = 90\n\
             ignore_startup_parameters = options,extra_float_digits\n"
        );
        std::fs::write(&config, text).unwrap();
        let log = File::create(config.with_extension("log")).unwrap();
        let mut command = Command::new(binary());
        if geteuid().is_root() {
            // It does not run as root.
            command.args(["-u", "nobody"]);
        }
        command.arg(&config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let process = tokio::process::Command::from(command).kill_on_drop(true).spawn().unwrap();
        let url = database.replacen(server, &format!("127.0.0.1:{port}"), 1);
        eventually("an answer of pgbouncer", async || {
            let mut session = <sqlx::PgConnection as sqlx::Connection>::connect(&url).await.ok()?;
            sqlx::query("select 1").execute(&mut session).await.ok()
        })
        .await;
        Self { url, _process: process }
    }
}

fn binary() -> &'static Path {
    BINARIES.iter().map(Path::new).find(|binary| binary.is_file()).unwrap_or_else(|| {
        panic!("install pgbouncer (`apt-get install pgbouncer`): it is none of {BINARIES:?}")
    })
}
