//! A web server that answers as a test says, and notes when it was asked for what.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What it was asked, and when.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) at: Instant,
}

/// Status and header lines, and the body.
pub(crate) type Answer = (String, Vec<u8>);

pub(crate) struct Web {
    pub(crate) url: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Web {
    /// Answers by how many requests there were before.
    pub(crate) fn start(answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/plugin.wasm", listener.local_addr().unwrap());
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let noted = Arc::clone(&asked);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
                let Some(first) = lines.next() else { continue };
                let _head = lines.take_while(|line| !line.is_empty()).count();
                let method = first.split(' ').next().unwrap_or_default().to_owned();
                let is_head = method == "HEAD";
                let number = {
                    let mut noted = noted.lock().unwrap();
                    noted.push(Asked { method, at: Instant::now() });
                    noted.len() - 1
                };
                let (head, body) = answer(number);
                let size = body.len();
                let _ =
                    write!(stream, "HTTP/1.1 {head}\r\nConnection: close\r\nContent-Length: {size}\r\n\r\n");
                if !is_head {
                    let _ = stream.write_all(&body);
                }
            }
        });
        Self { url, asked }
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How often it was asked so.
    pub(crate) fn count(&self, method: &str) -> usize {
        self.asked().iter().filter(|asked| asked.method == method).count()
    }
}
