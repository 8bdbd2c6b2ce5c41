//! Request bodies: the `aws-chunked` framing that SDKs put around uploads.

use bytes::Bytes;
use http::HeaderMap;

/// The content of a body; framing that is not well-formed leaves the body as it came.
pub(crate) fn decode(headers: &HeaderMap, body: Bytes) -> Bytes {
    let says = |name: &str, part: &str| {
        headers
            .get_all(name)
            .iter()
            .any(|value| value.to_str().is_ok_and(|value| value.contains(part)))
    };
    if says("content-encoding", "aws-chunked") || says("x-amz-content-sha256", "STREAMING-") {
        unchunk(&body).unwrap_or(body)
    } else {
        body
    }
}

/// `<hex length>[;chunk-signature=…]\r\n<data>\r\n … 0\r\n<trailers>\r\n`
fn unchunk(body: &[u8]) -> Option<Bytes> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    loop {
        let line_end = rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..line_end]).ok()?;
        let length = usize::from_str_radix(line.split(';').next()?.trim(), 16).ok()?;
        rest = &rest[line_end + 2..];
        if length == 0 {
            return Some(out.into());
        }
        out.extend_from_slice(rest.get(..length)?);
        rest = rest.get(length..)?.strip_prefix(b"\r\n")?;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn removes_chunks_signatures_and_trailers() {
        let mut headers = HeaderMap::new();
        headers.insert("content-encoding", "aws-chunked".parse().unwrap());
        let body = "5;chunk-signature=ab\r\nhello\r\n6\r\n world\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n";
        assert_eq!(decode(&headers, Bytes::from(body)), "hello world");
        assert_eq!(
            decode(&HeaderMap::new(), Bytes::from("5\r\nhello")),
            "5\r\nhello"
        );
    }
}
