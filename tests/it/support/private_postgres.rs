//! A test's Postgres that asks for passwords, or speaks TLS.

use std::{
    os::unix::fs::{MetadataExt as _, PermissionsExt, chown},
    path::{Path, PathBuf},
};

use sqlx::{AssertSqlSafe, PgPool};

use super::eventually;

/// Who may log in, from now on: the owner of all without a password, everybody else as this says.
pub(crate) async fn let_in(owner: &PgPool, how: &str) {
    let rules: String =
        sqlx::query_scalar("select current_setting('hba_file')").fetch_one(owner).await.unwrap();
    let text = format!("host all amends 127.0.0.1/32 trust\n{how}\n");
    std::fs::write(rules, text).unwrap();
    reload(owner).await;
}

/// Has it speak TLS with this certificate and its key.
pub(crate) async fn speak_tls(owner: &PgPool, certificate: &str, key: &str, clients: &str) {
    let data: String = sqlx::query_scalar("select current_setting('data_directory')")
        .fetch_one(owner)
        .await
        .unwrap();
    let data = PathBuf::from(data);
    for (name, text) in [("server.crt", certificate), ("server.key", key), ("root.crt", clients)] {
        give(&data, name, text);
    }
    for setting in ["ssl_cert_file = 'server.crt'", "ssl_key_file = 'server.key'", "ssl = on"] {
        set(owner, setting).await;
    }
    set(owner, "ssl_ca_file = 'root.crt'").await;
    reload(owner).await;
    eventually("TLS of Postgres", async || {
        let on = "select current_setting('ssl')::boolean";
        sqlx::query_scalar::<_, bool>(on).fetch_one(owner).await.ok()?.then_some(())
    })
    .await;
}

/// A file that only whoever runs the server may read.
fn give(data: &Path, name: &str, text: &str) {
    let (file, folder) = (data.join(name), std::fs::metadata(data).unwrap());
    std::fs::write(&file, text).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
    chown(&file, Some(folder.uid()), Some(folder.gid())).unwrap();
}

async fn set(owner: &PgPool, setting: &str) {
    let sql = format!("alter system set {setting}");
    sqlx::query(AssertSqlSafe(sql)).execute(owner).await.unwrap();
}

/// Its settings and rules are read again; done when the server says that it has read them.
async fn reload(owner: &PgPool) {
    const LOADED: &str = "select pg_conf_load_time()";
    type Time = chrono::DateTime<chrono::Utc>;
    let before: Time = sqlx::query_scalar(LOADED).fetch_one(owner).await.unwrap();
    sqlx::query("select pg_reload_conf()").execute(owner).await.unwrap();
    eventually("a reload of Postgres", async || {
        // On a session of its own: one that is there may know of it before the postmaster does.
        let mut fresh = owner.connect_options().as_ref().clone();
        fresh = fresh.application_name("reload");
        let one = sqlx::postgres::PgPoolOptions::new().max_connections(1);
        let fresh = one.connect_with(fresh).await.ok()?;
        let now: Time = sqlx::query_scalar(LOADED).fetch_one(&fresh).await.ok()?;
        (now > before).then_some(())
    })
    .await;
}
