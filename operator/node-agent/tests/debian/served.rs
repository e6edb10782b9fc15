//! A web server of one folder, as mirrors are: it sends what has changed since, goes on where a client was cut off, and remembers what it was
//! asked for.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use jiff::{
    Timestamp,
    fmt::rfc2822::{DateTimeParser, DateTimePrinter},
};

struct State {
    folder: PathBuf,
    /// When everything was changed last: some while ago, and never compared with this machine's clock.
    changed: i64,
    silent: bool,
    /// How many archives are still cut off in their middle.
    cuts: u32,
    /// How many archives are still begun and never sent to their end.
    stalls: u32,
    /// Connections of those.
    stalled: Vec<TcpStream>,
    asked: Vec<Asked>,
}

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// Name of the file.
    pub name: String,
    /// First byte that is wanted.
    pub from: usize,
}

/// The server; it ends with the process.
pub struct Served {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Served {
    pub fn new(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = State {
            folder: folder.to_owned(),
            changed: 1_750_000_000,
            silent: false,
            cuts: 0,
            stalls: 0,
            stalled: Vec::new(),
            asked: Vec::new(),
        };
        let state = Arc::new(Mutex::new(state));
        let of = state.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let _ = answer(stream, &mut of.lock().unwrap_or_else(PoisonError::into_inner));
            }
        });
        Self { port, state }
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What is there from now on is newer than what was there.
    pub fn publish(&self) {
        self.with(|state| state.changed += 60);
    }

    /// Whether it answers nobody.
    pub fn silence(&self, silent: bool) {
        self.with(|state| state.silent = silent);
    }

    /// Cuts the next archives off in their middle.
    pub fn cut(&self, archives: u32) {
        self.with(|state| state.cuts = archives);
    }

    /// Sends the first half of the next archives, and nothing more.
    pub fn stall(&self, archives: u32) {
        self.with(|state| state.stalls = archives);
    }

    /// Archives that it was asked for since it was asked this the last time.
    pub fn archives(&self) -> Vec<Asked> {
        let asked = self.with(|state| std::mem::take(&mut state.asked));
        asked.into_iter().filter(|asked| is_archive(&asked.name)).collect()
    }
}

fn is_archive(name: &str) -> bool {
    Path::new(name).extension().is_some_and(|end| end == "deb")
}

fn answer(mut stream: TcpStream, state: &mut State) -> std::io::Result<()> {
    if state.silent {
        return Ok(());
    }
    let lines = BufReader::new(stream.try_clone()?).lines().map_while(Result::ok);
    let lines: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let field = |name: &str| lines.iter().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let time = |name: &str| DateTimeParser::new().parse_timestamp(field(name)?).ok();
    let path = lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default();
    let name = path.rsplit('/').next().unwrap_or_default().to_owned();
    let inner = path.trim_start_matches('/');
    let is_below = !inner.split('/').any(|part| part == "..");
    let body = if is_below {
        fs::read(state.folder.join(inner))
    } else {
        Err(std::io::ErrorKind::NotFound.into())
    };
    let is_known = time("If-Modified-Since:").is_some_and(|at| at.as_second() >= state.changed);
    let is_same = time("If-Range:").is_none_or(|at| at.as_second() == state.changed);
    let range = field("Range: bytes=").and_then(|range| range.trim_end_matches('-').parse().ok());
    let from: usize = range.filter(|_| is_same).unwrap_or(0);
    let (status, body) = match body {
        Ok(_) if is_known => ("304 Not Modified", Vec::new()),
        Ok(body) if from > 0 && from < body.len() => ("206 Partial Content", body),
        Ok(body) => ("200 OK", body),
        Err(_) => ("404 Not Found", Vec::new()),
    };
    let whole = body.len();
    let body = body.get(from..).unwrap_or_default();
    let at = Timestamp::from_second(state.changed).unwrap();
    let at = DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap();
    let range = match from {
        0 => String::new(),
        _ => format!("Content-Range: bytes {from}-{}/{whole}\r\n", whole.saturating_sub(1)),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nLast-Modified: {at}\r\nAccept-Ranges: bytes\r\n{range}Content-Length: {}\r\n\
         Connection: close\r\n\r\n",
        body.len()
    );
    let is_cut = state.cuts > 0 && is_archive(&name);
    state.cuts -= u32::from(is_cut);
    let stalls = state.stalls > 0 && is_archive(&name);
    state.stalls -= u32::from(stalls);
    state.asked.push(Asked { name, from });
    stream.write_all(head.as_bytes())?;
    stream.write_all(if is_cut || stalls { &body[..body.len() / 2] } else { body })?;
    stream.flush()?;
    if stalls {
        state.stalled.push(stream);
        return Ok(());
    }
    stream.shutdown(Shutdown::Both)
}
