//! The proxies, with the configurations that are shipped, on ports of a test's own.

use std::fs;
use std::path::{Path, PathBuf};

/// Where it is all to run.
#[derive(Debug, Clone, Copy)]
pub struct Ports {
    pub proxy: u16,
    pub keygate: u16,
    pub service: u16,
}

/// A proxy whose configuration is shipped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    Nginx,
    Caddy,
    Traefik,
    Envoy,
}

/// The folder of the examples.
fn shipped(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/forward-auth").join(folder)
}

/// Where programs are that are for administrators, and so not on everybody's path.
const FOLDERS: [&str; 3] = ["/usr/sbin", "/usr/local/sbin", "/opt/homebrew/bin"];

impl Proxy {
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Caddy => "caddy",
            Self::Traefik => "traefik",
            Self::Envoy => "envoy",
        }
    }

    pub fn program(self) -> Option<PathBuf> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
        folders.map(|folder| folder.join(self.name())).find(|file| file.is_file())
    }

    /// The status where keygate does not answer at all.
    pub fn status_without_keygate(self) -> u16 {
        match self {
            Self::Nginx | Self::Envoy => 503,
            Self::Caddy => 502,
            Self::Traefik => 500,
        }
    }

    /// Puts the configuration into this folder, and gives the arguments to run it with.
    pub fn configure(self, folder: &Path, ports: Ports) -> Vec<String> {
        let Ports { proxy, keygate, service } = ports;
        let file = |name: &str| folder.join(name).display().to_string();
        let write = |name: &str, changes: &[(&str, String)]| {
            let shipped = shipped(self.name()).join(name);
            let mut text =
                fs::read_to_string(&shipped).unwrap_or_else(|error| panic!("{}: {error}", shipped.display()));
            for (from, to) in changes {
                assert!(text.contains(from), "{} has no {from:?}", shipped.display());
                text = text.replace(from, to);
            }
            let target = folder.join(name);
            fs::create_dir_all(target.parent().unwrap()).unwrap();
            fs::write(target, text).unwrap();
        };
        let at = |port: u16| format!("127.0.0.1:{port}");
        let (keygate_at, service_at) = (("127.0.0.1:8080", at(keygate)), ("127.0.0.1:3000", at(service)));
        match self {
            Self::Nginx => {
                for name in ["ask.conf", "guard.conf", "refused.conf", "strip.conf"] {
                    write(&format!("keygate/{name}"), &[]);
                }
                // The folders that the packages set are those of the machine's own nginx.
                let folders: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
                    .map(|of| format!("    {of}_temp_path {};\n", file(of)))
                    .concat();
                let http = ("http {\n", format!("http {{\n    access_log off;\n{folders}"));
                write(
                    "nginx.conf",
                    &[keygate_at, service_at, ("listen 8000;", format!("listen {};", at(proxy))), http],
                );
                // One process, which is the one that is stopped.
                let main = format!("daemon off; master_process off; pid {};", file("pid"));
                ["-e", "stderr", "-p", &file(""), "-c", &file("nginx.conf"), "-g", &main].map(str::to_owned).into()
            }
            Self::Caddy => {
                let site = (":8000 {\n", format!(":{proxy} {{\n\tbind 127.0.0.1\n"));
                write("Caddyfile", &[keygate_at, service_at, site]);
                ["run", "--config", &file("Caddyfile")].map(str::to_owned).into()
            }
            Self::Traefik => {
                write("dynamic.yml", &[keygate_at, service_at]);
                write("traefik.yml", &[(":8000", at(proxy)), ("dynamic.yml", file("dynamic.yml"))]);
                vec![format!("--configFile={}", file("traefik.yml"))]
            }
            Self::Envoy => {
                let port = |shipped: &'static str, port: u16| (shipped, format!("port_value: {port} "));
                let ports = [port("port_value: 8000 ", proxy), port("port_value: 8080 ", keygate)];
                let [listen, asked] = ports;
                let any = ("address: 0.0.0.0", "address: 127.0.0.1".to_owned());
                write("envoy.yaml", &[any, listen, asked, port("port_value: 3000 ", service)]);
                ["-c", &file("envoy.yaml"), "--concurrency", "1", "--use-dynamic-base-id", "--log-level", "warning"]
                    .map(str::to_owned)
                    .into()
            }
        }
    }
}
