//! CloudWatch alarms on one metric: when they change their state, and when that rings.
//!
//! After "Using Amazon CloudWatch alarms" and "Configuring how CloudWatch alarms treat missing data" in the CloudWatch
//! User Guide. An alarm begins as INSUFFICIENT_DATA and acts on changes of its state alone. CloudWatch may look further
//! back than it is asked to where data is missing, which can delay a change and make none; here it does not.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The state of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AlarmState {
    /// The metric is as it should be.
    Ok,
    /// It is not.
    Alarm,
    /// There is no data to tell by.
    InsufficientData,
}

/// What a period without data counts as (`TreatMissingData`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoData {
    Missing,
    Breaching,
    NotBreaching,
    Ignore,
}

/// An alarm on one metric.
#[derive(Clone, Debug)]
pub struct Alarm {
    /// Its logical id in the template.
    pub name: String,
    /// Namespace of the metric.
    pub namespace: String,
    /// Name of the metric.
    pub metric: String,
    /// Dimensions of the metric: names and values.
    pub dimensions: BTreeMap<String, String>,
    statistic: Statistic,
    period: SignedDuration,
    evaluation_periods: usize,
    datapoints_to_alarm: usize,
    threshold: f64,
    is_breach: fn(f64, f64) -> bool,
    no_data: NoData,
    acts_on: Vec<AlarmState>,
}

#[derive(Clone, Copy, Debug)]
enum Statistic {
    Sum,
    Maximum,
}

impl Alarm {
    /// Reads an alarm's resolved properties; its lists of actions are replaced by whether there are any.
    pub(crate) fn read(name: &str, properties: &Value) -> Result<Alarm> {
        let text = |key: &str| match &properties[key] {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            other => bail!("{key} is {other}"),
        };
        let number = |key: &str| -> Result<f64> {
            text(key)?
                .parse()
                .with_context(|| format!("{key} is no number"))
        };
        let whole = |key: &str| -> Result<usize> {
            text(key)?
                .parse()
                .with_context(|| format!("{key} is no whole number"))
        };
        let evaluation_periods = whole("EvaluationPeriods")?;
        let mut dimensions = BTreeMap::new();
        for dimension in properties["Dimensions"].as_array().into_iter().flatten() {
            let (Some(name), Some(value)) =
                (dimension["Name"].as_str(), dimension["Value"].as_str())
            else {
                bail!("a dimension is {dimension}");
            };
            dimensions.insert(name.to_owned(), value.to_owned());
        }
        let all = [
            ("AlarmActions", AlarmState::Alarm),
            ("InsufficientDataActions", AlarmState::InsufficientData),
            ("OKActions", AlarmState::Ok),
        ];
        let acts = all.into_iter().filter(|(key, _)| properties[*key] == true);
        Ok(Alarm {
            name: name.to_owned(),
            namespace: text("Namespace")?,
            metric: text("MetricName")?,
            dimensions,
            statistic: match text("Statistic")?.as_str() {
                "Sum" => Statistic::Sum,
                "Maximum" => Statistic::Maximum,
                other => bail!("the statistic {other} is not known here"),
            },
            period: SignedDuration::from_secs(i64::try_from(whole("Period")?)?),
            evaluation_periods,
            datapoints_to_alarm: match &properties["DatapointsToAlarm"] {
                Value::Null => evaluation_periods,
                _ => whole("DatapointsToAlarm")?,
            },
            threshold: number("Threshold")?,
            is_breach: match text("ComparisonOperator")?.as_str() {
                "GreaterThanThreshold" => |value, threshold| value > threshold,
                "LessThanThreshold" => |value, threshold| value < threshold,
                other => bail!("the operator {other} is not known here"),
            },
            no_data: match properties["TreatMissingData"].as_str() {
                None | Some("missing") => NoData::Missing,
                Some("breaching") => NoData::Breaching,
                Some("notBreaching") => NoData::NotBreaching,
                Some("ignore") => NoData::Ignore,
                Some(other) => bail!("TreatMissingData {other} is none of CloudWatch's"),
            },
            acts_on: acts.map(|(_, state)| state).collect(),
        })
    }

    /// The changes of its state on which it acts, of an alarm that was made at `from`, until `until`. `points` are the
    /// metric's values and when each was measured.
    #[must_use]
    pub fn rings(
        &self,
        points: &[(Timestamp, f64)],
        from: Timestamp,
        until: Timestamp,
    ) -> Vec<(Timestamp, AlarmState)> {
        let mut state = AlarmState::InsufficientData;
        let mut rings = Vec::new();
        let mut now = from;
        while now <= until {
            let next = self.state(points, now, state);
            if next != state && self.acts_on.contains(&next) {
                rings.push((now, next));
            }
            state = next;
            // CloudWatch looks every minute; a period's end is one of these.
            now += SignedDuration::from_mins(1);
        }
        rings
    }

    /// The state at a point in time, when it was `before` until then.
    fn state(&self, points: &[(Timestamp, f64)], now: Timestamp, before: AlarmState) -> AlarmState {
        let mut breaches = 0;
        let mut gaps = 0;
        for back in 0..self.evaluation_periods {
            let end = now - self.period * i32::try_from(back).unwrap_or(i32::MAX);
            let of_period = points
                .iter()
                .filter(|(at, _)| *at <= end && *at > end - self.period)
                .map(|(_, value)| *value);
            let value = match self.statistic {
                Statistic::Sum => of_period.reduce(|sum, value| sum + value),
                Statistic::Maximum => of_period.reduce(f64::max),
            };
            match value {
                Some(value) if (self.is_breach)(value, self.threshold) => breaches += 1,
                Some(_) => {}
                None => gaps += 1,
            }
        }
        let is_without_data = gaps == self.evaluation_periods;
        match self.no_data {
            NoData::Missing if is_without_data => return AlarmState::InsufficientData,
            NoData::Ignore if is_without_data => return before,
            NoData::Breaching => breaches += gaps,
            NoData::Missing | NoData::Ignore | NoData::NotBreaching => {}
        }
        match breaches >= self.datapoints_to_alarm {
            true => AlarmState::Alarm,
            false => AlarmState::Ok,
        }
    }
}

/// A metric that CloudWatch Logs counts by a filter on JSON, whose fields are to equal texts ("Filter pattern syntax for metric
/// filters" in the CloudWatch Logs User Guide).
#[derive(Clone, Debug)]
pub struct MetricFilter {
    /// Namespace of the metric.
    pub namespace: String,
    /// Name of the metric.
    pub metric: String,
    value: f64,
    fields: Vec<(String, String)>,
}

impl MetricFilter {
    /// Reads a filter's resolved properties.
    pub(crate) fn read(properties: &Value) -> Result<MetricFilter> {
        let pattern = properties["FilterPattern"].as_str().unwrap_or_default();
        let Some(terms) = pattern
            .trim()
            .strip_prefix('{')
            .and_then(|pattern| pattern.strip_suffix('}'))
        else {
            bail!("the pattern {pattern} is not known here");
        };
        let field = |term: &str| -> Option<(String, String)> {
            let (field, text) = term.split_once(" = ")?;
            let text = text.trim().strip_prefix('"')?.strip_suffix('"')?;
            let is_plain = !text.contains(['"', '*', '\\']);
            let field = field.trim().strip_prefix("$.")?;
            is_plain.then(|| (field.to_owned(), text.to_owned()))
        };
        let fields: Option<Vec<_>> = terms.split("&&").map(field).collect();
        let fields = fields.with_context(|| format!("the pattern {pattern} is not known here"))?;
        let [transformation] = properties["MetricTransformations"]
            .as_array()
            .map_or(&[][..], Vec::as_slice)
        else {
            bail!("a filter has one transformation");
        };
        for unknown in ["DefaultValue", "Dimensions"] {
            if !transformation[unknown].is_null() {
                bail!("`{unknown}` of a transformation is not known here");
            }
        }
        let text = |key: &str| {
            let text = transformation[key].as_str();
            text.with_context(|| format!("{key} is no text"))
        };
        Ok(MetricFilter {
            namespace: text("MetricNamespace")?.to_owned(),
            metric: text("MetricName")?.to_owned(),
            value: text("MetricValue")?
                .parse()
                .context("MetricValue is no number")?,
            fields,
        })
    }

    /// What a log event counts as. None if it does not pass the filter.
    #[must_use]
    pub fn counts(&self, event: &Value) -> Option<f64> {
        let passes = self.fields.iter().all(|(name, text)| event[name] == **text);
        passes.then_some(self.value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(minutes * 60).unwrap()
    }

    fn alarm(changes: Value) -> Result<Alarm> {
        let mut properties = json!({
            "Namespace": "N", "MetricName": "M", "Statistic": "Maximum", "Period": 300,
            "EvaluationPeriods": 2, "Threshold": "5", "ComparisonOperator": "GreaterThanThreshold",
            "AlarmActions": true, "InsufficientDataActions": false, "OKActions": false,
        });
        properties
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        Alarm::read("A", &properties)
    }

    fn rings(changes: Value, points: &[(i64, f64)], until: i64) -> Vec<(i64, AlarmState)> {
        let points: Vec<_> = points
            .iter()
            .map(|(minute, value)| (at(*minute), *value))
            .collect();
        let rings = alarm(changes).unwrap().rings(&points, at(0), at(until));
        rings
            .into_iter()
            .map(|(at, state)| (at.as_second() / 60, state))
            .collect()
    }

    #[test]
    fn it_rings_once_when_enough_periods_breach() {
        let points = [(1, 9.0), (6, 9.0), (11, 9.0), (16, 1.0)];
        assert_eq!(rings(json!({}), &points, 20), [(6, AlarmState::Alarm)]);
        let one = json!({ "DatapointsToAlarm": 1, "OKActions": true });
        // 9 counts for two periods, and then the first that does not breach ends it.
        let expected = [(1, AlarmState::Alarm), (21, AlarmState::Ok)];
        assert_eq!(rings(one, &points, 30)[..2], expected);
    }

    #[test]
    fn what_missing_data_means_is_its_own() {
        let points = [(1, 1.0)];
        let with = |missing: &str| {
            let change = json!({ "TreatMissingData": missing, "InsufficientDataActions": true });
            rings(change, &points, 60)
        };
        // Made without data it does not ring; when there is none any more, it does.
        assert_eq!(with("missing"), [(11, AlarmState::InsufficientData)]);
        assert_eq!(with("breaching")[0], (0, AlarmState::Alarm), "at once");
        assert!(with("notBreaching").is_empty());
        assert!(with("ignore").is_empty());
    }

    #[test]
    fn what_is_not_known_is_an_error() {
        for change in [
            json!({ "Statistic": "p99" }),
            json!({ "ComparisonOperator": "LessThanLowerThreshold" }),
            json!({ "TreatMissingData": "as you like" }),
            json!({ "Threshold": null }),
            json!({ "MetricName": null }),
            json!({ "Dimensions": [{ "Name": "D" }] }),
        ] {
            assert!(alarm(change.clone()).is_err(), "{change}");
        }
    }

    #[test]
    fn a_filter_counts_what_has_all_its_fields() {
        let read = |pattern: &str| {
            let transformation =
                json!({ "MetricNamespace": "N", "MetricName": "M", "MetricValue": "2" });
            MetricFilter::read(
                &json!({ "FilterPattern": pattern, "MetricTransformations": [transformation] }),
            )
        };
        let filter = read(r#"{ $.event = "cleanup" && $.cleanup = "left" }"#).unwrap();
        let counts = |event: Value| filter.counts(&event);
        assert_eq!(
            counts(json!({ "event": "cleanup", "cleanup": "left" })),
            Some(2.0)
        );
        assert_eq!(
            counts(json!({ "event": "cleanup", "cleanup": "deleted" })),
            None
        );
        assert_eq!(counts(json!({ "cleanup": "left" })), None);
        for unknown in [
            "left",
            r#"{ $.a = "left*" }"#,
            r#"{ $.a = "b" || $.c = "d" }"#,
            "{ $.a > 3 }",
        ] {
            assert!(read(unknown).is_err(), "{unknown}");
        }
    }
}
