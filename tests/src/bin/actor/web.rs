//! A web server and its clients: Debian's.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tests::meter::Meter;

use crate::Args;

/// `nginx DIRECTORY PORT`: becomes a web server with two workers.
pub(crate) fn nginx(args: &Args, _: Meter) {
    let dir = args.text(0);
    let config = Path::new(dir).join("nginx.conf");
    let text = format!(
        "daemon off; worker_processes 2; pid {dir}/pid; error_log {dir}/errors; user root;\n\
         events {{ worker_connections 256; }}\n\
         http {{ access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; \
         fastcgi_temp_path {dir}/fastcgi; uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;\n\
         server {{ listen 127.0.0.1:{}; root {dir}; }} }}\n",
        args.text(1)
    );
    std::fs::write(&config, text).expect("a file");
    std::fs::write(Path::new(dir).join("index.html"), vec![b'x'; 8192]).expect("a file");
    becomes("nginx", &["-e", &format!("{dir}/errors"), "-c", &config.to_string_lossy()]);
}

/// `wrk PORT CONNECTIONS`: becomes clients that ask as fast as they get answers.
pub(crate) fn wrk(args: &Args, _: Meter) {
    // The server takes a moment to listen.
    while std::net::TcpStream::connect(("127.0.0.1", args.number(0) as u16)).is_err() {
        crate::sleep_us(20_000);
    }
    let url = format!("http://127.0.0.1:{}/", args.text(0));
    becomes("wrk", &["-t", "1", "-c", args.text(1), "-d", "3600", &url]);
}

/// Becomes a program of those that were unpacked, or of the host's.
fn becomes(program: &str, args: &[&str]) {
    let tools = std::env::var_os("S7MPA_TOOLS").map(PathBuf::from);
    let unpacked = |root: &Path| ["usr/sbin", "usr/bin"].map(|dir| root.join(dir).join(program));
    let mut found = tools.iter().flat_map(|root| unpacked(root)).chain(unpacked(Path::new("/")));
    let path = found.find(|path| path.is_file()).unwrap_or_else(|| panic!("there is no {program}"));
    let mut command = Command::new(path);
    if let Some(root) = &tools {
        command.env("LD_LIBRARY_PATH", root.join("usr/lib/x86_64-linux-gnu"));
    }
    let error = command.args(args).stdin(Stdio::null()).stdout(Stdio::null()).exec();
    panic!("{program} does not start: {error}");
}
