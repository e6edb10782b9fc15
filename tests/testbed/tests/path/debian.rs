//! Debian's own packages: nginx with the libraries that it maps, and what the security pocket has for them at the moment.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
};

use hozen_testbed::not_run;

use crate::stage::{NODES, Stage};

pub const NGINX: &str = "nginx.service";

/// Every node serves by nginx, and says who answers.
pub fn serves(stage: &Stage) {
    for node in NODES {
        stage.until(&format!("{node} serves"), || {
            let said = asked(stage, node).map_err(|why| why.to_string())?;
            if said.starts_with("HTTP/1.1 200") && said.contains("Server: nginx") {
                Ok(())
            } else {
                Err(said)
            }
        });
    }
}

/// What a node's server answers to somebody outside of it.
fn asked(stage: &Stage, node: &str) -> std::io::Result<String> {
    let object = stage.get(&["node", node]);
    let addresses = object["status"]["addresses"].as_array().cloned().unwrap_or_default();
    let address = addresses.iter().find(|one| one["type"] == "InternalIP");
    let address = address.and_then(|one| one["address"].as_str()).unwrap_or_default();
    let mut server = TcpStream::connect((address, 80))?;
    write!(server, "GET / HTTP/1.1\r\nHost: {node}\r\nConnection: close\r\n\r\n")?;
    let mut said = String::new();
    server.read_to_string(&mut said)?;
    Ok(said)
}

/// Gives a node the security pocket of Debian beside the tests' own; whether it can be had.
pub fn give_security_pocket(stage: &Stage, node: &str, test: &str) -> bool {
    let sources = fs::read_to_string(stage.root().join("etc/apt/sources.list")).unwrap();
    let security: Vec<&str> = sources.lines().filter(|line| line.contains("-security ")).collect();
    let place = "/etc/apt/sources.list.d/security.list";
    stage.on(node, &format!("echo '{}' >{place} && apt-get update || true", security.join("\n")));
    let has = stage.upgradable(node).iter().any(|update| update.starts_with("nginx:"));
    if !has {
        stage.on(node, &format!("rm {place} && apt-get update"));
        not_run(test, "Debian's security pocket, or an update of nginx in it");
    }
    has
}

/// Processes of nginx on a node.
#[derive(Debug)]
pub struct Processes {
    /// The id of the first.
    pub main: String,
    /// How many run a file that is not there any more.
    pub old: usize,
}

pub fn processes(stage: &Stage, node: &str) -> Processes {
    let main = stage.on(node, "systemctl show --property=MainPID --value nginx");
    let old = "for pid in $(pgrep -x nginx); do grep -l '/usr/.* (deleted)$' /proc/$pid/maps; done | wc -l";
    let old = stage.on(node, &format!("set +e; {old}"));
    Processes { main: main.trim().to_owned(), old: old.trim().parse().unwrap() }
}
