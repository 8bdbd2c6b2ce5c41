//! Reports over whole days: reckoned from the records in S3, stored beside them, announced by a message.
//!
//! A report is made anew however often it is asked for, and lies where it lay; the message is sent once. It touches nothing
//! that a validation needs, so that one that fails leaves nothing to be mended.

use futures_util::{FutureExt, StreamExt, stream};
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use restore_proof_core::console;
use restore_proof_core::message::{Message, of_report, of_report_not_made};
use restore_proof_core::report::{
    Listed, Period, Reckoning, RecordKeys, Report, Rhythm, inventory,
};
use serde_json::{Value, json};
use tracing::{info, warn};

use crate::App;
use crate::aws::{AwsError, failed};
use crate::config::S3Uri;
use crate::failure::{self, Failure};
use crate::policy_file::read_object;
use crate::publish;

/// Where the inventory lies in the results bucket. Only there: IAM must know the key, and it cannot be made of `PolicyKey`'s.
pub const INVENTORY_KEY: &str = "policy/inventory.csv";
/// How many records are fetched at one time.
const AT_ONCE: usize = 16;
/// What must be left of an invocation when all is read, to write the report and the message.
const KEPT_FOR_WRITING: SignedDuration = SignedDuration::from_mins(2);
/// The most resources that a report is made of here. With 5,000 the page, which takes most, was measured to need 142 MB of the
/// function's 256 (records as in `scripts/bench-report.py`); what is needed grows with their number.
const MOST_RESOURCES: usize = 5_000;

/// Makes the report of the days before today (UTC), stores it and announces it. A report that is too much for the function is
/// not made, which people are told instead: never half of one.
///
/// # Errors
/// When AWS refuses or does not answer.
pub async fn make(app: &App, rhythm: Rhythm, deadline: Timestamp) -> failure::Result<Value> {
    let today = app.now().to_zoned(TimeZone::UTC).date();
    let no_days = || Failure::Other(format!("there are no days before {today}"));
    let period = rhythm.period(today).ok_or_else(no_days)?;
    match reckon(app, period, deadline - KEPT_FOR_WRITING).await? {
        Ok(report) => store(app, rhythm, &report).await,
        Err(why) => {
            warn!("the {} report is not made: {why}", rhythm.as_str());
            let function = &app.config.function_name;
            let message = of_report_not_made(rhythm, period, &why, function);
            let what = format!("report#{}#{}#not_made", rhythm.as_str(), period.to);
            tell(app, &what, &message).await?;
            Ok(json!({ "not_made": why, "from": period.from, "to": period.to }))
        }
    }
}

/// What the records say; the inner error says why they are too many.
async fn reckon(
    app: &App,
    period: Period,
    until: Timestamp,
) -> failure::Result<Result<Report, String>> {
    let from = period.looked_from();
    let (listed, wrong) = match read_inventory(app).await? {
        Ok(listed) => (listed, None),
        Err(why) => (None, Some(why)),
    };
    let mut reckoning = Reckoning::new(period, Some(from), listed);
    reckoning.of_function(&app.config.name_prefix);
    if let Some(why) = wrong {
        warn!("{why}");
        reckoning.without_inventory(&why);
    }
    // The inventory's alone may be too many.
    if reckoning.resources() > MOST_RESOURCES {
        return Ok(Err(too_many(from)));
    }
    let keys = RecordKeys::of(from, period.to);
    let bucket = &app.config.results_bucket;
    let asked = app.aws.s3.list_objects_v2().bucket(bucket);
    let asked = asked.prefix(keys.prefix).start_after(&keys.after);
    let mut next = None;
    // Page by page, and of a page a few records at one time: the function has little memory.
    loop {
        let asked = asked.clone().set_continuation_token(next);
        let page = asked.send().boxed().await;
        let page = page.map_err(failed("s3:ListObjectsV2"))?;
        let listed = page.contents.unwrap_or_default().into_iter();
        let listed = listed.filter_map(|object| object.key);
        // S3 lists in the order of the keys.
        let mut is_last = false;
        let wanted = listed.take_while(|key| {
            is_last = *key >= keys.end;
            !is_last
        });
        let wanted: Vec<String> = wanted.collect();
        let mut bodies = stream::iter(wanted)
            .map(|key| async move {
                let body = body(app, &key).await;
                (key, body)
            })
            .buffer_unordered(AT_ONCE);
        while let Some((key, body)) = bodies.next().await {
            match body? {
                Ok(bytes) => reckoning.read(&key, &bytes),
                Err(why) => reckoning.unreadable(&key, why),
            }
            if app.now() >= until {
                return Ok(Err(format!(
                    "the time that the function has was over after {} records, and there are more since {from}",
                    reckoning.records()
                )));
            }
            if reckoning.resources() > MOST_RESOURCES {
                return Ok(Err(too_many(from)));
            }
        }
        next = page.next_continuation_token;
        if is_last || next.is_none() {
            return Ok(Ok(reckoning.finish()));
        }
    }
}

fn too_many(from: Date) -> String {
    format!(
        "the records since {from} and the inventory are of more than {MOST_RESOURCES} resources, and the function has the memory \
         for so many"
    )
}

/// The text of a record; the inner error says why there is none.
async fn body(app: &App, key: &str) -> Result<Result<Vec<u8>, &'static str>, AwsError> {
    match read_object(&app.aws, &in_results(app, key)).boxed().await {
        Ok(bytes) => Ok(bytes.ok_or("too large for a record")),
        Err(error) if error.is(&["NoSuchKey"]) => Ok(Err("deleted after it was listed")),
        // Which one, since each may be under a key of its own.
        Err(error) => Err(AwsError {
            message: format!("{key}: {}", error.message),
            ..error
        }),
    }
}

/// The inventory, if there is one; the inner error says why it is of no use.
async fn read_inventory(app: &App) -> failure::Result<Result<Option<Vec<Listed>>, String>> {
    let uri = in_results(app, INVENTORY_KEY);
    // S3 refuses to say of a single object that it is not there, unless the whole bucket may be listed.
    let listed = app.aws.s3.list_objects_v2().bucket(&uri.bucket);
    let listed = listed.prefix(&uri.key).max_keys(1).send().boxed().await;
    let listed = listed.map_err(failed("s3:ListObjectsV2"))?;
    let mut listed = listed.contents().iter();
    if !listed.any(|object| object.key() == Some(&uri.key)) {
        return Ok(Ok(None));
    }
    let bytes = match read_object(&app.aws, &uri).await {
        Ok(bytes) => bytes,
        Err(error) if error.is_access_denied() => {
            return Ok(Err(format!("{uri} may not be read: {}", error.message)));
        }
        Err(error) => return Err(error.into()),
    };
    let text = bytes.map(String::from_utf8);
    Ok(match text {
        None => Err(format!("{uri} is larger than 1 MiB")),
        Some(Err(_)) => Err(format!("{uri} is not UTF-8 text")),
        Some(Ok(text)) => match inventory(&text) {
            Ok(listed) => Ok(Some(listed)),
            Err(error) => Err(format!("{uri}, {error}")),
        },
    })
}

/// Stores the report in every form and announces it.
async fn store(app: &App, rhythm: Rhythm, report: &Report) -> failure::Result<Value> {
    let folder = rhythm.folder(report.period);
    // One after the other, each in memory for a moment. The page comes last: where it is, all is.
    type Form = fn(&Report) -> String;
    let forms: [(&str, &str, Form); 4] = [
        ("json", "application/json", restore_proof_report::json),
        (
            "md",
            "text/markdown; charset=utf-8",
            restore_proof_report::markdown,
        ),
        ("xml", "application/xml", restore_proof_report::junit),
        (
            "html",
            "text/html; charset=utf-8",
            restore_proof_report::page,
        ),
    ];
    let (aws, config) = (&app.aws, &app.config);
    for (end, content_type, form) in forms {
        let key = format!("{folder}report.{end}");
        publish::write_object(aws, config, &key, content_type, form(report)).await?;
    }
    let page = in_results(app, &format!("{folder}report.html"));
    info!(
        "the {} report over {} records: {page}",
        rhythm.as_str(),
        report.read.records
    );
    let link = console::object(&config.partition, &config.region, &page.bucket, &page.key);
    let message = of_report(rhythm, report, &page.to_string(), link.as_deref());
    let what = format!("report#{}#{}", rhythm.as_str(), report.period.to);
    tell(app, &what, &message).await?;
    Ok(json!({
        "report": page.to_string(),
        "from": report.period.from,
        "to": report.period.to,
        "records": report.read.records,
    }))
}

/// Sends the message unless people were told of it. Who dies between message and note sends it twice.
async fn tell(app: &App, what: &str, message: &Message) -> failure::Result<()> {
    if !app.ledger.was_told_of(what).await? {
        publish::send(&app.aws, &app.config, message).await?;
        app.ledger.remember_told_of(what, app.now()).await?;
    }
    Ok(())
}

fn in_results(app: &App, key: &str) -> S3Uri {
    S3Uri {
        bucket: app.config.results_bucket.clone(),
        key: key.to_owned(),
    }
}
