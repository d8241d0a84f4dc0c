//! The gate's HTTP, on the connections of an installer.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use futures_util::stream::{BoxStream, StreamExt, unfold};
use http_body_util::StreamBody;
use hyper::StatusCode;
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::ext::ReasonPhrase;
use hyper::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::DuplexStream;

use super::session::{Request, Response, Session};

/// The longest head that is taken.
const MAX_HEAD: usize = 16 << 10;
/// What one part of a body holds at most.
const PART: usize = 64 << 10;

type Body = StreamBody<BoxStream<'static, io::Result<Frame<Bytes>>>>;

/// Answers requests until the connection ends. Whatever comes is hostile.
pub(crate) async fn serve(session: Arc<Session>, connection: DuplexStream) {
    let answer = service_fn(|request| answer(session.clone(), request));
    // Who breaks off needs no answer, and what broke off on this side is among the session's troubles.
    let _ = http1::Builder::new().max_buf_size(MAX_HEAD).serve_connection(TokioIo::new(connection), answer).await;
}

async fn answer(session: Arc<Session>, request: hyper::Request<Incoming>) -> Result<hyper::Response<Body>, Infallible> {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let request = Request {
        method: request.method().to_string(),
        target: request.uri().to_string(),
        accept: accept.to_owned(),
        body: !request.body().is_end_stream(),
    };
    let Response { status, reason, content_type, length, body } = session.answer(&request).await;
    let parts = unfold(Some((session, body)), |state| async move {
        let (session, mut body) = state?;
        match body.next(PART).await {
            Ok(part) if part.is_empty() => None,
            Ok(part) => Some((Ok(Frame::data(part.into())), Some((session, body)))),
            Err(trouble) => {
                let error = io::Error::other(trouble.to_string());
                session.broke(trouble);
                Some((Err(error), None))
            }
        }
    });
    let mut response = hyper::Response::new(StreamBody::new(parts.boxed()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(length) = length {
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
    }
    if let Ok(reason) = ReasonPhrase::try_from(reason.into_bytes()) {
        response.extensions_mut().insert(reason);
    }
    Ok(response)
}
