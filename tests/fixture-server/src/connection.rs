//! One connection: requests in, answers out, or whatever the plan says goes wrong.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::answer::{Answer, Cut, Plan};
use crate::http::{Request, reason};
use crate::server::Origin;
use crate::stats::Open;

const HEAD_MAX: usize = 64 * 1024;
const PIECE: usize = 64 * 1024;
/// A dripping body is sent in so many pieces each second.
const DRIPS_PER_SECOND: u64 = 20;

/// Whether the connection can carry another request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum After {
    Keep,
    Close,
}

/// Serves one connection until either side closes it.
pub(crate) async fn serve(mut stream: TcpStream, origin: Arc<Origin>, other_origin: bool) {
    // Small answers must not wait for an acknowledgement; if this fails they merely do.
    let _ = stream.set_nodelay(true);
    let mut buffer = BytesMut::new();
    while let Ok(Some(head)) = read_head(&mut stream, &mut buffer).await {
        match exchange(&mut stream, &head, &origin, other_origin).await {
            Ok(After::Keep) => {}
            Ok(After::Close) | Err(_) => return,
        }
    }
}

/// The next request's head with its empty line; `None` when the client has closed.
async fn read_head(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            return Ok(Some(buffer.split_to(end + 4).freeze()));
        }
        if buffer.len() > HEAD_MAX || stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn exchange(stream: &mut TcpStream, head: &[u8], origin: &Origin, other_origin: bool) -> io::Result<After> {
    let Some(request) = Request::parse(head) else {
        let plan = Plan::new(Answer::text(400, "not HTTP/1.1\n"));
        stream.write_all(&head_bytes(&plan.answer, After::Close)).await?;
        return Ok(After::Close);
    };
    let mut open = origin.stats.begin(request.clone(), other_origin);
    let mut plan = origin.plan(&request);
    if !plan.delay.is_zero() && !stays(stream, plan.delay).await {
        return Ok(After::Close);
    }
    if plan.hang_up {
        return Ok(After::Close);
    }
    if request.method == "HEAD" {
        plan.cut = Some((0, Cut::Close));
    }
    let wants_close = request
        .header("connection")
        .is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let after = if wants_close || request.method != "GET" {
        After::Close
    } else {
        After::Keep
    };
    open.status(plan.answer.status);
    send(stream, &plan, &mut open, after).await
}

async fn send(stream: &mut TcpStream, plan: &Plan, open: &mut Open, after: After) -> io::Result<After> {
    let body = &plan.answer.body;
    let cut = plan.cut.filter(|(at, _)| *at < body.len());
    let end = cut.map_or(body.len(), |(at, _)| at);
    if body.len() == 0 {
        open.end();
    }
    // A cut comes as a surprise: the head promises the whole body and does not announce the end.
    stream
        .write_all(&head_bytes(&plan.answer, if cut.is_some() { After::Keep } else { after }))
        .await?;
    let drip = plan
        .bytes_per_second
        .map(|rate| usize::try_from((rate / DRIPS_PER_SECOND).max(1)).unwrap_or(PIECE));
    let mut at = 0;
    while at < end {
        // The last byte goes alone, after the request counts as ended: the client cannot have started
        // another in its place before.
        let left = usize::try_from(end - at).unwrap_or(usize::MAX);
        let whole = cut.is_none();
        if left == 1 && whole {
            open.end();
        }
        let room = if left > 1 && whole { left - 1 } else { left };
        let piece = body.piece(at, room.min(drip.unwrap_or(PIECE)));
        stream.write_all(&piece).await?;
        open.sent(piece.len());
        at += piece.len() as u64;
        if drip.is_some() && at < end && !stays(stream, Duration::from_millis(1000 / DRIPS_PER_SECOND)).await {
            return Ok(After::Close);
        }
    }
    match cut {
        None => return Ok(after),
        Some((_, Cut::Close)) => stream.shutdown().await?,
        Some((_, Cut::Reset)) => stream.set_zero_linger()?,
        Some((_, Cut::Stall)) => while stays(stream, Duration::from_secs(3600)).await {},
    }
    Ok(After::Close)
}

/// Waits; false as soon as the client is gone.
async fn stays(stream: &TcpStream, time: Duration) -> bool {
    let gone = async {
        loop {
            match stream.peek(&mut [0]).await {
                Ok(0) | Err(_) => return,
                // A second request already waits behind this one: nothing tells about the client any more.
                Ok(_) => std::future::pending::<()>().await,
            }
        }
    };
    tokio::select! {
        () = gone => false,
        () = tokio::time::sleep(time) => true,
    }
}

fn head_bytes(answer: &Answer, after: After) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {} {}\r\n", answer.status, reason(answer.status));
    for (name, value) in &answer.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("Content-Length: {}\r\n", answer.body.len()));
    if after == After::Close {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}
