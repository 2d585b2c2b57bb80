//! A receiver that answers as it is told and keeps what it gets.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver as Queue};
use std::thread::JoinHandle;

/// A request.
pub(crate) struct Request {
    /// Its first line.
    pub(crate) line: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// The value of a header; empty: there is none.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(own, _)| own == name).map_or("", |(_, value)| value)
    }
}

/// See the module. One connection a request.
pub(crate) struct Receiver {
    port: u16,
    requests: Queue<Request>,
    thread: JoinHandle<()>,
}

impl Receiver {
    /// Answers requests with these statuses, one after the other, and ends.
    pub(crate) fn start(statuses: &[u16]) -> Self {
        let answers: Vec<(u16, &[u8])> = statuses.iter().map(|status| (*status, &b""[..])).collect();
        Self::answering(&answers)
    }

    /// The same with bodies.
    pub(crate) fn answering(answers: &[(u16, &[u8])]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let answers: Vec<(u16, Vec<u8>)> =
            answers.iter().map(|(status, body)| (*status, body.to_vec())).collect();
        let (to, requests) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            for (status, body) in answers {
                let (mut stream, _) = listener.accept().expect("a connection");
                let request = read(&mut stream);
                let head = format!(
                    "HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&body)).expect("an answer");
                let _ = to.send(request);
            }
        });
        Self { port, requests, thread }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it got, when it has answered all.
    pub(crate) fn stop(self) -> Vec<Request> {
        self.thread.join().expect("the receiver");
        self.requests.into_iter().collect()
    }
}

fn read(stream: &mut TcpStream) -> Request {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 << 10];
    loop {
        let read = stream.read(&mut buffer).expect("a request");
        assert!(read > 0, "the request ends early");
        bytes.extend_from_slice(&buffer[..read]);
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8(bytes[..end].to_vec()).expect("text");
        let mut lines = head.lines();
        let line = lines.next().expect("a first line").to_owned();
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let request = Request { line, headers, body: bytes[end + 4..].to_vec() };
        let length: usize = request.header("content-length").parse().expect("a length");
        if request.body.len() >= length {
            return request;
        }
    }
}
