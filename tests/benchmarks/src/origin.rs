//! The origins that the media is fetched from: nginx where it is installed, and the fixture server for all that goes
//! wrong or slowly.

use std::collections::BTreeMap;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fixture_server::{Config, Rule, Server};

/// How long nginx may take to listen.
const PATIENCE: Duration = Duration::from_secs(5);

/// Something that serves a folder.
pub(crate) enum Origin {
    Nginx { child: Child, origin: String },
    Fixture(Server),
}

impl Origin {
    /// Serves all of `folder`, as fast as it goes.
    pub(crate) fn fast(folder: &Path) -> Result<Self> {
        match nginx(folder) {
            Ok(nginx) => Ok(nginx),
            Err(error) => {
                println!("nginx cannot serve ({error:#}): the fixture server does, which takes more of the machine");
                let mut files = BTreeMap::new();
                for entry in std::fs::read_dir(folder)? {
                    let entry = entry?;
                    if entry.path().is_dir() {
                        load(&entry.path(), &entry.file_name().to_string_lossy(), &mut files)?;
                    }
                }
                fixture(files, Vec::new())
            }
        }
    }

    /// Serves one stream of `folder` under these rules.
    pub(crate) fn ruled(folder: &Path, name: &str, rules: Vec<Rule>) -> Result<Self> {
        let mut files = BTreeMap::new();
        load(&folder.join(name), name, &mut files)?;
        fixture(files, rules)
    }

    /// The address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        match self {
            Self::Nginx { origin, .. } => format!("{origin}/{path}"),
            Self::Fixture(server) => server.url(&format!("/{path}")),
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Self::Nginx { child, .. } = self {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn fixture(files: BTreeMap<String, bytes::Bytes>, rules: Vec<Rule>) -> Result<Origin> {
    let config = Config {
        files,
        rules,
        ..Config::default()
    };
    Ok(Origin::Fixture(Server::start(config)?))
}

/// The files of a stream by path; where one segment stands for all, it is there under each name in the playlist.
fn load(stream: &Path, name: &str, files: &mut BTreeMap<String, bytes::Bytes>) -> Result<()> {
    for entry in std::fs::read_dir(stream)? {
        let entry = entry?;
        let path = format!("/{name}/{}", entry.file_name().to_string_lossy());
        files.insert(path, std::fs::read(entry.path())?.into());
    }
    let Some(same) = files.get(&format!("/{name}/same.ts")).cloned() else {
        return Ok(());
    };
    let playlist = std::fs::read_to_string(stream.join("index.m3u8"))?;
    for uri in playlist.lines().filter(|line| line.ends_with(".ts")) {
        files.insert(format!("/{name}/{uri}"), same.clone());
    }
    Ok(())
}

fn nginx(folder: &Path) -> Result<Origin> {
    let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
    let root = folder.display();
    let configuration = format!(
        "daemon off; master_process off; pid {root}/nginx.pid; error_log stderr error;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; sendfile on; tcp_nodelay on; keepalive_requests 1000000; types {{ }}\n\
         client_body_temp_path {root}/nginx-temp; proxy_temp_path {root}/nginx-temp; fastcgi_temp_path {root}/nginx-temp;\n\
         uwsgi_temp_path {root}/nginx-temp; scgi_temp_path {root}/nginx-temp;\n\
         server {{ listen 127.0.0.1:{port}; root {root}; location ~ ^(?<stream>/[^/]+)/ {{ try_files $uri $stream/same.ts =404; }} }} }}\n"
    );
    let file = folder.join("nginx.conf");
    std::fs::write(&file, configuration)?;
    let mut command = Command::new("nginx");
    // Workers of root give up its rights, and the folder may be root's alone.
    if std::env::var_os("USER").is_none_or(|user| user == "root") {
        command.args(["-g", "user root;"]);
    }
    command.arg("-e").arg("stderr").arg("-p").arg(folder).arg("-c").arg(&file);
    let mut child = command.stdout(Stdio::null()).spawn().context("starting nginx")?;
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if let Some(status) = child.try_wait()? {
            bail!("nginx ended with {status}");
        }
        ensure!(begun.elapsed() < PATIENCE, "nginx does not listen");
        std::thread::yield_now();
    }
    Ok(Origin::Nginx {
        child,
        origin: format!("http://127.0.0.1:{port}"),
    })
}
