//! S3: objects by key, every version kept (restXml).

use jiff::Timestamp;

use crate::wire::xml::Xml;
use crate::wire::{Reply, Request, ServiceError};
use crate::world::events::millis;
use crate::world::inspect::ObjectVersion;
use crate::world::state::{BucketState, State};

use super::Answer;

pub(crate) fn answer(state: &mut State, request: &Request) -> Answer {
    match request.operation.as_str() {
        "PutObject" => put(state, request),
        "GetObject" => get(state, request),
        "HeadObject" => head(state, request),
        "ListObjectsV2" => list(state, request),
        _ => Err(ServiceError::not_played(request)),
    }
}

fn bucket<'a>(
    state: &'a mut State,
    request: &Request,
) -> Result<&'a mut BucketState, ServiceError> {
    let missing = || ServiceError::new("NoSuchBucket", 404, "The specified bucket does not exist");
    state.buckets.get_mut(&request.bucket).ok_or_else(missing)
}

fn put(state: &mut State, request: &Request) -> Answer {
    let now = state.now;
    let version = state.new_uuid("version").replace('-', "");
    let bucket = bucket(state, request)?;
    let existing = bucket
        .objects
        .get(&request.key)
        .and_then(|versions| versions.last());
    let failed = || {
        ServiceError::new(
            "PreconditionFailed",
            412,
            "At least one of the pre-conditions you specified did not hold",
        )
    };
    if request.header("if-none-match") == Some("*") && existing.is_some() {
        return Err(failed());
    }
    if let Some(wanted) = request.header("if-match") {
        match existing {
            None => {
                return Err(ServiceError::new(
                    "NoSuchKey",
                    404,
                    "The specified key does not exist.",
                ));
            }
            Some(existing) if existing.etag.trim_matches('"') != wanted.trim_matches('"') => {
                return Err(failed());
            }
            Some(_) => {}
        }
    }
    let lock = lock(bucket, request, now)?;
    let content_type = request.header("content-type").map(str::to_owned);
    let put = ObjectVersion {
        body: request.body.clone(),
        content_type,
        etag: String::new(),
        version_id: version.clone(),
        at: now,
        lock,
    };
    let etag = bucket.put(&request.key, put);
    let reply = Reply::empty(200).with_header("etag", etag);
    Ok(if bucket.versioned {
        reply.with_header("x-amz-version-id", version)
    } else {
        reply
    })
}

/// How long nobody may change the object. S3 takes no lock whose object may have been mutilated on its way: "Content-MD5 or
/// x-amz-sdk-checksum-algorithm header is required for any request to upload an object with a retention period" (Amazon S3
/// API reference, PutObject). The words of the refusals are from memory of public reports.
fn lock(
    bucket: &BucketState,
    request: &Request,
    now: Timestamp,
) -> Result<Option<(String, Timestamp)>, ServiceError> {
    let invalid = |code, words: &str| ServiceError::new(code, 400, words);
    let mode = request.header("x-amz-object-lock-mode");
    let until = request.header("x-amz-object-lock-retain-until-date");
    let (mode, until) = match (mode, until) {
        (None, None) => return Ok(None),
        (Some(mode), Some(until)) => (mode, until),
        _ => {
            return Err(invalid(
                "InvalidArgument",
                "x-amz-object-lock-retain-until-date and x-amz-object-lock-mode must both be supplied",
            ));
        }
    };
    if !bucket.object_lock {
        let words = "Bucket is missing Object Lock Configuration";
        return Err(invalid("InvalidRequest", words));
    }
    if !matches!(mode, "GOVERNANCE" | "COMPLIANCE") {
        return Err(invalid("InvalidArgument", "Unknown wormMode directive."));
    }
    let Ok(until) = until.parse::<Timestamp>() else {
        let words = "The retain until date must be provided in ISO 8601 format";
        return Err(invalid("InvalidArgument", words));
    };
    if until <= now {
        let words = "The retain until date must be in the future!";
        return Err(invalid("InvalidArgument", words));
    }
    let mut headers = request.headers.keys();
    let is_checked = headers.any(|name| {
        name == "content-md5"
            || name == "x-amz-trailer"
            || name.as_str().starts_with("x-amz-checksum-")
    });
    if !is_checked {
        return Err(invalid(
            "InvalidRequest",
            "Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters",
        ));
    }
    Ok(Some((mode.to_owned(), until)))
}

fn find(state: &mut State, request: &Request) -> Result<(ObjectVersion, bool), ServiceError> {
    let may_list = state.options.s3_list_permission;
    let bucket = bucket(state, request)?;
    let versions = bucket.objects.get(&request.key);
    let found = match request.query("versionId") {
        None => versions.and_then(|versions| versions.last()),
        Some(id) => {
            versions.and_then(|versions| versions.iter().find(|version| version.version_id == id))
        }
    };
    match found {
        Some(version) => Ok((version.clone(), bucket.versioned)),
        // Without permission to list a bucket, S3 does not say that a key is missing.
        None if !may_list => Err(ServiceError::new("AccessDenied", 403, "Access Denied")),
        None => Err(ServiceError::new(
            "NoSuchKey",
            404,
            "The specified key does not exist.",
        )),
    }
}

fn described(version: &ObjectVersion, versioned: bool) -> Reply {
    let content_type = version
        .content_type
        .clone()
        .unwrap_or_else(|| "binary/octet-stream".to_owned());
    let reply = Reply::empty(200)
        .with_header("etag", version.etag.clone())
        .with_header("last-modified", http_date(version.at))
        .with_header("accept-ranges", "bytes")
        .with_header("content-type", content_type);
    let reply = if versioned {
        reply.with_header("x-amz-version-id", version.version_id.clone())
    } else {
        reply
    };
    match &version.lock {
        Some((mode, until)) => reply
            .with_header("x-amz-object-lock-mode", mode.clone())
            .with_header("x-amz-object-lock-retain-until-date", millis(*until)),
        None => reply,
    }
}

fn get(state: &mut State, request: &Request) -> Answer {
    let (version, versioned) = find(state, request)?;
    let known = request.header("if-none-match");
    if known.is_some_and(|known| known.trim_matches('"') == version.etag.trim_matches('"')) {
        return Ok(Reply::empty(304).with_header("etag", version.etag));
    }
    let length = version.body.len();
    let mut reply = described(&version, versioned);
    match request.header("range") {
        None => reply.body = version.body,
        Some(range) => {
            let Some((start, end)) = byte_range(range, length) else {
                return Err(ServiceError::new(
                    "InvalidRange",
                    416,
                    "The requested range is not satisfiable",
                ));
            };
            reply.status = 206;
            reply.body = version.body.slice(start..end);
            reply = reply.with_header(
                "content-range",
                format!("bytes {start}-{}/{length}", end - 1),
            );
        }
    }
    let length = reply.body.len().to_string();
    Ok(reply.with_header("content-length", length))
}

fn head(state: &mut State, request: &Request) -> Answer {
    let (version, versioned) = find(state, request)?;
    Ok(
        described(&version, versioned)
            .with_header("content-length", version.body.len().to_string()),
    )
}

/// `bytes=a-b`, `bytes=a-`, `bytes=-n` as a half-open range.
fn byte_range(range: &str, length: usize) -> Option<(usize, usize)> {
    let (start, end) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (start, end) = match (start, end) {
        ("", suffix) => (length.saturating_sub(suffix.parse().ok()?), length),
        (start, "") => (start.parse().ok()?, length),
        (start, end) => (
            start.parse().ok()?,
            end.parse::<usize>().ok()?.saturating_add(1).min(length),
        ),
    };
    (start < end).then_some((start, end))
}

fn list(state: &mut State, request: &Request) -> Answer {
    /// The most keys of a page ("ListObjectsV2", API reference of S3).
    const MOST_KEYS: usize = 1000;
    let page_size = state.options.page_size;
    let prefix = request.query("prefix").unwrap_or_default();
    let may_list = state.options.s3_list_permission
        || state.options.s3_listed.iter().any(|listed| {
            let begin = listed.strip_suffix('*');
            begin.map_or(listed == prefix, |begin| prefix.starts_with(begin))
        });
    let name = request.bucket.clone();
    let bucket = bucket(state, request)?;
    if !may_list {
        return Err(ServiceError::new("AccessDenied", 403, "Access Denied"));
    }
    let invalid = |words: &str| ServiceError::new("InvalidArgument", 400, words);
    let delimiter = request.query("delimiter").unwrap_or_default();
    let token = request.query("continuation-token");
    let start_after = request.query("start-after");
    // A token is opaque, and a key is none: S3 answers so (versitygw, issue 993). With a token `start-after` counts no more
    // ("ListObjectsV2", API reference of S3).
    let after = match token {
        Some(token) => {
            let key = key_of_token(token);
            Some(key.ok_or_else(|| invalid("The continuation token provided is incorrect"))?)
        }
        None => start_after.map(str::to_owned),
    };
    let after = after.as_deref();
    let asked = match request.query("max-keys").map(str::parse::<u32>) {
        None => MOST_KEYS,
        Some(Ok(asked)) => MOST_KEYS.min(asked as usize),
        // The words are from memory of public reports.
        Some(Err(_)) => {
            let words = "Provided max-keys not an integer or within integer range";
            return Err(invalid(words));
        }
    };
    let encoded = match request.query("encoding-type") {
        None => false,
        Some("url") => true,
        Some(_) => return Err(invalid("Invalid Encoding Method specified in Request")),
    };
    let mut contents: Vec<(&String, &ObjectVersion)> = Vec::new();
    let mut common: Vec<String> = Vec::new();
    let mut next = None;
    let first = after.map_or(prefix, |after| prefix.max(after));
    for (key, versions) in bucket.objects.range(first.to_owned()..) {
        if !key.starts_with(prefix) {
            break;
        }
        let folded = (!delimiter.is_empty())
            .then(|| {
                key[prefix.len()..]
                    .find(delimiter)
                    .map(|at| key[..prefix.len() + at + delimiter.len()].to_owned())
            })
            .flatten();
        let entry = folded.as_ref().unwrap_or(key);
        let known = common.last() == Some(entry);
        if known || after.is_some_and(|after| entry.as_str() <= after) {
            continue;
        }
        if contents.len() + common.len() >= asked.min(page_size) {
            next = contents
                .last()
                .map(|(key, _)| key.as_str())
                .max(common.last().map(String::as_str))
                .map(token_of_key);
            break;
        }
        match (folded, versions.last()) {
            (Some(prefix), _) => common.push(prefix),
            (None, Some(version)) => contents.push((key, version)),
            (None, None) => {}
        }
    }
    let name_of = |key: &str| {
        if encoded {
            url_encoded(key)
        } else {
            key.to_owned()
        }
    };
    let mut xml = Xml::default();
    xml.element(
        "ListBucketResult xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"",
        |xml| {
            xml.text("Name", &name).text("Prefix", name_of(prefix));
            let delimiter = Some(delimiter).filter(|delimiter| !delimiter.is_empty());
            xml.optional("Delimiter", delimiter.map(name_of));
            xml.optional("StartAfter", start_after.map(name_of));
            xml.optional("ContinuationToken", token);
            xml.optional("EncodingType", encoded.then_some("url"));
            xml.text("MaxKeys", asked)
                .text("KeyCount", contents.len() + common.len());
            xml.text("IsTruncated", next.is_some());
            xml.optional("NextContinuationToken", next);
            for (key, version) in contents {
                xml.element("Contents", |xml| {
                    xml.text("Key", name_of(key))
                        .text("LastModified", millis(version.at))
                        .text("ETag", &version.etag);
                    xml.text("Size", version.body.len())
                        .text("StorageClass", "STANDARD");
                });
            }
            for prefix in common {
                xml.element("CommonPrefixes", |xml| {
                    xml.text("Prefix", name_of(&prefix));
                });
            }
        },
    );
    Ok(Reply::xml(xml))
}

/// Where the next page begins, as a token that is no key.
fn token_of_key(key: &str) -> String {
    let bytes = key.bytes().map(|byte| format!("{byte:02x}"));
    format!("1-{}", bytes.collect::<String>())
}

/// None if it is no token of ours.
fn key_of_token(token: &str) -> Option<String> {
    let digits = token.strip_prefix("1-")?.as_bytes();
    let bytes = digits.chunks(2).map(|two| {
        let two = std::str::from_utf8(two).ok()?;
        u8::from_str_radix(two, 16).ok()
    });
    String::from_utf8(bytes.collect::<Option<_>>()?).ok()
}

/// A key under `encoding-type=url`: `test_file(3).png` is `test_file%283%29.png` ("ListObjectsV2", API reference of S3).
fn url_encoded(key: &str) -> String {
    let mut out = String::new();
    for byte in key.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out += &format!("%{byte:02X}");
        }
    }
    out
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[cfg(test)]
mod tests;
