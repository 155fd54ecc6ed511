//! nginx with one worker and no log: as the service that is asked, and as a proxy before it.

use std::path::Path;
use std::process::Command;

use crate::server::{Server, free_port};
use crate::{OTHER_CORE, PROXY_CORE};

/// What is asked for.
const ANSWER: &str = "default_type application/json; return 200 '{\"account_id\":\"a\",\"balance\":\"12.50\",\"currency\":\"EUR\"}';";

/// Answers at once, whatever it is asked.
pub(crate) fn service(folder: &Path) -> Server {
    start(folder, OTHER_CORE, "", ANSWER)
}

/// Asks a service on connections that it keeps.
pub(crate) fn proxy(folder: &Path, service: u16) -> Server {
    let upstream = format!(
        "upstream service {{ server 127.0.0.1:{service}; keepalive 64; keepalive_requests 100000000; }}"
    );
    let location =
        "proxy_pass http://service; proxy_http_version 1.1; proxy_set_header Connection \"\";";
    start(folder, PROXY_CORE, &upstream, location)
}

fn start(folder: &Path, core: &str, upstream: &str, location: &str) -> Server {
    let port = free_port();
    let own = folder.join(format!("nginx-{port}"));
    std::fs::create_dir_all(&own).unwrap();
    let path = own.display();
    let text = format!(
        "daemon off; master_process off; worker_processes 1; pid {path}/pid; error_log {path}/error.log;
         events {{ worker_connections 16384; }}
         http {{
             access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
             client_body_temp_path {path}/body; proxy_temp_path {path}/proxy;
             fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u; scgi_temp_path {path}/s;
             {upstream}
             server {{ listen 127.0.0.1:{port} backlog=4096; location / {{ {location} }} }}
         }}"
    );
    let file = own.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.arg("-c").arg(&file).arg("-p").arg(&own);
    Server::start(core, &mut nginx, port)
}
